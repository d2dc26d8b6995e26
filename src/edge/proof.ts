import { addressKey } from '../config/address.ts'
import type { Proof } from '../model/exchange.ts'
import { Refusal } from '../model/problem.ts'
import type { SecretBytes } from '../model/secret.ts'
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
}

/**
 * Refuses a request that lacks one of the proofs asked for. Cheapest first: who connects from elsewhere gets no secret compared. `now` in
 * milliseconds since the epoch.
 */
export const prove = (secrets: readonly string[], connection: Connection, trust: ProofTrust, now: number): Refusal | null => {
  const { proof } = trust
  // A list that came to nothing must not let everything in.
  if (proof.length === 0) return new Refusal('PST1101')
  return (
    (proof.includes('source-range') ? proveSource(connection.peer, trust) : null) ??
    (proof.includes('client-certificate') ? proveCertificate(connection.certificate, trust, now) : null) ??
    (proof.includes('shared-secret') ? proveSecret(secrets, trust.secrets) : null)
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
  const given = Buffer.from(values[0] ?? '', 'latin1')
  let proved = false
  // Every member is compared, in constant time, so that timing tells neither which secret nor how much of it fitted.
  for (const secret of secrets) if (secret.equals(given)) proved = true
  return proved ? null : new Refusal('PST1102')
}
