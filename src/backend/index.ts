/**
 * `postern/backend`: for Node services behind Postern. A login comes with the request (`readHeaders`, `createUnsealer`) or is fetched (`fromEndpoint`,
 * `fromFile`); `Clients` turns it into a pooled, draining, TLS-verifying `cassandra-driver` client.
 */
export { Clients, type Cluster } from './clients.ts'
export { createUnsealer, type Headers, type Login, readHeaders, type UnsealOptions } from './login.ts'
export { type EndpointOptions, fromEndpoint, fromFile, type LoginSource } from './source.ts'
