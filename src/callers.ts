import { createAssertions } from './identity/assertion.ts'
import { defaultBounds } from './identity/bounds.ts'
import { createIdentifier, type Identifier } from './identity/identify.ts'
import { Replays } from './identity/replay.ts'
import { assertionKeys, type LoadedConfig } from './load.ts'
import type { Deps } from './model/deps.ts'
import type { Stages } from './pipeline.ts'
import type { Metrics } from './record/metrics.ts'

/** Everything that knows who calls and vouches for it; it outlives a reload. */
export interface Callers {
  readonly identifier: Identifier
  readonly stages: Pick<Stages, 'identify' | 'nonce' | 'challenged' | 'assert' | 'once'>
  /** The public keys of what Postern signs. */
  jwks(): string
  /** Assertions of the gateway remembered. */
  gatewayAssertions(): number
  follow(loaded: LoadedConfig): void
  close(): void
}

export const createCallers = (deps: Deps, metrics: Pick<Metrics, 'token'>): Callers => {
  const identifier = createIdentifier(deps, { validated: (issuer, result) => metrics.token(issuer === '' ? null : issuer, result) })
  const assertions = createAssertions(deps.clock)
  const shown = new Replays(defaultBounds.gatewayAssertions)
  const { identify, nonce, challenged } = identifier
  return {
    identifier,
    stages: {
      identify,
      nonce,
      challenged,
      assert: assertions.assert,
      once: (signer, jti, keepFor) => shown.take(signer, jti, deps.clock.monotonic(), keepFor),
    },
    jwks: assertions.jwks,
    gatewayAssertions: () => shown.size,
    follow(loaded) {
      identifier.configure(loaded.issuers, loaded.dpop)
      assertions.configure(assertionKeys(loaded))
    },
    close: () => identifier.close(),
  }
}
