/** The little of `oidc-provider` that the demo uses; the package brings no types. */
declare module 'oidc-provider/lib/provider.js' {
  import type { IncomingMessage, ServerResponse } from 'node:http'

  interface Saved {
    save(): Promise<string>
  }

  export class Provider {
    constructor(issuer: string, configuration: Record<string, unknown>)
    callback(): (request: IncomingMessage, response: ServerResponse) => Promise<void>
    readonly Client: { find(id: string): Promise<unknown> }
    readonly Grant: new (properties: {
      clientId: string
      accountId: string
    }) => Saved & { addOIDCScope(scope: string): void }
    readonly AuthorizationCode: new (
      properties: Record<string, unknown>,
    ) => Saved
  }
}
