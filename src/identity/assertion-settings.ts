import { list, optional, type RecordOf, record, required, text } from '../config/shape.ts'
import { duration, path } from '../config/values.ts'

/** `assertion:`, how Postern vouches for the caller towards its backends. */
export const assertionShape = record({
  issuer: required(
    text('an https URL', value =>
      URL.canParse(value) && new URL(value).protocol === 'https:'
        ? null
        : `"${value}" is not an https URL; write a name of this installation that no provider has: https://postern.example.com.`,
    ),
    'What `iss` says. Never one of issuers: what Postern says to backends is no token for Postern.',
  ),
  'key-files': required(
    list(path('a PEM file'), { min: 1, max: 2 }),
    'Ed25519 private keys (postern audit keygen makes one). The first signs, both are published: write a new key second, a day later first.',
  ),
  lifetime: optional(duration('10s', '5m'), 60_000, 'From iat to exp.'),
})

export type AssertionSettings = RecordOf<typeof assertionShape.fields>
