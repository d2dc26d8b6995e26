import type { Secret } from './secret.ts'

/** What a login attempt showed. `refused`: a node decided and said no. `unknown`: no node could decide, so it proves nothing. */
export type LoginProof = 'ok' | 'refused' | 'unknown'

export type CqlRow = Readonly<Record<string, unknown>>

/**
 * A statement that did not answer with rows. `code` is the protocol's error code; null where no answer came, and then
 * the statement may have been applied, or may yet be.
 */
export class CqlFault extends Error {
  readonly code: number | null

  constructor(code: number | null, message: string) {
    super(message)
    this.name = 'CqlFault'
    this.code = code
  }
}

/** One authenticated connection pool to a cluster, as `credentials/` and data routes use it. Every call has a deadline. */
export interface CassandraSession {
  /** Rejects with a CqlFault. `host` is one of `hosts()`: only that node coordinates (virtual tables are local to a node). */
  execute(cql: string, params?: readonly unknown[], options?: { readonly host?: string }): Promise<readonly CqlRow[]>
  /** Addresses of the nodes that are up, `ip:port`. */
  hosts(): readonly string[]
  /** Logs in afresh, on that node alone if one is named, and uses the login once. Never rejects. */
  login(username: string, password: Secret, host?: string): Promise<LoginProof>
  close(): Promise<void>
}
