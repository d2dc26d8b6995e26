import { createAssertions } from './identity/assertion.ts'
import { AwsSessions } from './identity/aws-sessions.ts'
import { defaultBounds } from './identity/bounds.ts'
import { createIdentifier, type Identifier } from './identity/identify.ts'
import { Replays } from './identity/replay.ts'
import { assertionKeys, type LoadedConfig, sessionIssuer } from './load.ts'
import type { Deps } from './model/deps.ts'
import type { Stages } from './pipeline.ts'
import type { Metrics } from './record/metrics.ts'

/** Everything that knows who calls and vouches for it; it outlives a reload. */
export interface Callers {
  readonly identifier: Identifier
  readonly stages: Pick<Stages, 'identify' | 'nonce' | 'challenged' | 'assert' | 'once' | 'session'>
  /** The public keys of what Postern signs. */
  jwks(): string
  /** Assertions of the gateway remembered. */
  gatewayAssertions(): number
  /** Requests that callers of AWS signed for a session, remembered. */
  awsRequests(): number
  follow(loaded: LoadedConfig): void
  close(): void
}

export const createCallers = (deps: Deps, metrics: Pick<Metrics, 'token' | 'awsCall'>): Callers => {
  const identifier = createIdentifier(deps, { validated: (issuer, result) => metrics.token(issuer === '' ? null : issuer, result) })
  const assertions = createAssertions(deps.clock)
  const sessions = new AwsSessions(deps, metrics.awsCall, defaultBounds)
  const shown = new Replays(defaultBounds.gatewayAssertions)
  const { identify, nonce, challenged } = identifier
  return {
    identifier,
    stages: {
      identify,
      nonce,
      challenged,
      assert: assertions.assert,
      session: authorization => sessions.exchange(authorization),
      once: (signer, jti, keepFor) => shown.take(signer, jti, deps.clock.monotonic(), keepFor),
    },
    jwks: assertions.jwks,
    gatewayAssertions: () => shown.size,
    awsRequests: () => sessions.remembered,
    follow(loaded) {
      identifier.configure(loaded.issuers, loaded.dpop, loaded.assertionKeys)
      sessions.configure(sessionIssuer(loaded))
      assertions.configure(assertionKeys(loaded))
    },
    close: () => identifier.close(),
  }
}
