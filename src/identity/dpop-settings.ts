import { flag, optional, type RecordOf, record } from '../config/shape.ts'
import { duration, path } from '../config/values.ts'
import type { SecretBytes } from '../model/secret.ts'

/** The shape of `dpop:` (contract 1). */
export const dpopShape = record({
  'max-age': optional(duration('5s', '5m'), 60_000, 'How long a DPoP proof is good, beside the clock-tolerance of the issuer.'),
  nonce: optional(flag, false, 'Asks for a nonce of ours in every DPoP proof, so that none can be made long before it is shown.'),
  'nonce-key-file': optional<string | null>(
    path('a file path'),
    null,
    'Key of the nonces, 32 random bytes or more: one for all replicas. Default: a random one, for a process that runs alone.',
  ),
})

export type DpopEntry = RecordOf<typeof dpopShape.fields>

export interface DpopSettings {
  /** Milliseconds. */
  readonly maxAge: number
  readonly nonce: boolean
  /** Null: one of this process alone. */
  readonly nonceKey: SecretBytes | null
}

export const defaultDpop: DpopSettings = Object.freeze({ maxAge: 60_000, nonce: false, nonceKey: null })
