import { addressKey } from '../config/address.ts'
import type { Asserted, Proof } from '../model/exchange.ts'
import { Refusal } from '../model/problem.ts'
import type { SecretBytes } from '../model/secret.ts'
import type { Head } from './head.ts'
import { type CertificateTrust, certificateFault, type PeerCertificate } from './peer-certificate.ts'

/** What is known of the connection that a request came over. */
export interface Connection {
  /** The other end's address; undefined on a UNIX socket. */
  readonly peer: string | undefined
  /** The other end's certificate; null without TLS, or where it showed none. */
  readonly certificate: PeerCertificate | null
}

/** How the gateway proves itself. */
export interface ProofTrust {
  /** Every one must pass. */
  readonly proof: readonly Proof[]
  /** Every accepted secret; empty where none is asked for. */
  readonly secrets: readonly SecretBytes[]
  readonly certificate: CertificateTrust
  /** Whether an address is one that the gateway connects from; takes a key of `addressKey`. */
  readonly isSource: (key: string) => boolean
  /** Judges what a component in front signed: gives it, or why it proves nothing. Null where none is asked for. */
  readonly assertion: ((jws: string, now: number) => Asserted | string) | null
}

/**
 * Refuses a request that lacks one of the proofs asked for. Cheapest first: who connects from elsewhere gets no secret compared, and who has no
 * secret no signature checked. Gives the assertion, which has yet to be compared with the request; null where none is asked for. `now` in
 * milliseconds since the epoch.
 */
export const prove = (
  shown: Pick<Head['gateway'], 'proof' | 'assertion'>,
  connection: Connection,
  trust: ProofTrust,
  now: number,
): Refusal | Asserted | null => {
  const { proof } = trust
  // A list that came to nothing must not let everything in.
  if (proof.length === 0) return new Refusal('PST1101')
  return (
    (proof.includes('source-range') ? proveSource(connection.peer, trust) : null) ??
    (proof.includes('client-certificate') ? proveCertificate(connection.certificate, trust, now) : null) ??
    (proof.includes('shared-secret') ? proveSecret(shown.proof, trust.secrets) : null) ??
    (proof.includes('assertion') ? proveAssertion(shown.assertion, trust, now) : null)
  )
}

const proveSource = (peer: string | undefined, { isSource }: ProofTrust): Refusal | null => {
  const key = peer === undefined ? null : addressKey(peer)
  return key !== null && isSource(key) ? null : new Refusal('PST1106')
}

const proveCertificate = (shown: PeerCertificate | null, { certificate }: ProofTrust, now: number): Refusal | null => {
  if (shown === null) return new Refusal('PST1104')
  const fault = certificateFault(shown, certificate, now)
  return fault === null ? null : new Refusal('PST1105', fault)
}

const proveSecret = (values: readonly string[], secrets: readonly SecretBytes[]): Refusal | null => {
  if (values.length === 0) return new Refusal('PST1101')
  if (values.length > 1) return new Refusal('PST1103', 'x-postern-gateway-proof')
  return isOneOf(secrets, values[0] ?? '') ? null : new Refusal('PST1102')
}

const proveAssertion = (values: readonly string[], { assertion }: ProofTrust, now: number): Refusal | Asserted => {
  const [jws] = values
  if (jws === undefined || assertion === null) return new Refusal('PST1110')
  if (values.length > 1) return new Refusal('PST1103', 'x-postern-gateway-assertion')
  const found = assertion(jws, now)
  return typeof found === 'string' ? new Refusal('PST1111', found) : found
}

/** Every member is compared, in constant time, so that timing tells neither which secret nor how much of it fitted. */
export const isOneOf = (secrets: readonly SecretBytes[], text: string): boolean => {
  const given = Buffer.from(text, 'latin1')
  let found = false
  for (const secret of secrets) if (secret.equals(given)) found = true
  return found
}
