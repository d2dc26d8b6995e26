import { createHash, X509Certificate } from 'node:crypto'
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls'

/** What the other end of a TLS connection proved to hold the key of: the gateway's certificate, never its client's. */
export interface PeerCertificate {
  /** SHA-256 of its SubjectPublicKeyInfo, base64. */
  readonly pin: string
  /** SHA-256 of the authority that its chain was verified up to, as `fingerprintsOf` spells it; null where none of ours vouches for it. */
  readonly anchor: string | null
  /** Milliseconds since the epoch. */
  readonly notBefore: number
  readonly notAfter: number
}

/** What a gateway's certificate must be. Each part that is given must hold. */
export interface CertificateTrust {
  /** Accepted pins; null: any key. */
  readonly pins: ReadonlySet<string> | null
  /** Authorities one of which must vouch for it; null: it need not be vouched for, and may be self-signed. */
  readonly anchors: ReadonlySet<string> | null
}

/** Base64 SHA-256 of a certificate's public key (RFC 7469 section 2.4). */
export const pinOf = (certificate: X509Certificate): string =>
  createHash('sha256')
    .update(certificate.publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64')

/** Of every certificate of a PEM text. Throws where one cannot be read. */
export const fingerprintsOf = (pem: string): readonly string[] =>
  [...pem.matchAll(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)].map(([text]) => new X509Certificate(text).fingerprint256)

/**
 * The certificate of a connection whose handshake has ended, null where it showed none or one of a key that cannot be read. TLS itself
 * checked that its owner holds the key; whether it is a good one is for each request to ask, for pins and authorities change.
 */
export const peerCertificate = (socket: TLSSocket): PeerCertificate | null => {
  try {
    const certificate = socket.getPeerX509Certificate()
    if (certificate === undefined) return null
    const { validFromDate, validToDate } = certificate
    return {
      pin: pinOf(certificate),
      anchor: socket.authorized ? topOf(socket.getPeerCertificate(true)) : null,
      notBefore: validFromDate.getTime(),
      notAfter: validToDate.getTime(),
    }
  } catch {
    return null
  }
}

/** The last of a verified chain; a self-signed certificate is its own issuer. */
const topOf = (leaf: DetailedPeerCertificate): string => {
  let top = leaf
  while (top.issuerCertificate && top.issuerCertificate.fingerprint256 !== top.fingerprint256) top = top.issuerCertificate
  return top.fingerprint256
}

/** Why it proves nothing, or null where it is the gateway's. */
export const certificateFault = (certificate: PeerCertificate, { pins, anchors }: CertificateTrust, now: number): string | null => {
  if (pins === null && anchors === null) return 'nothing to compare with'
  if (pins !== null && !pins.has(certificate.pin)) return `pin ${certificate.pin}`
  if (anchors !== null && (certificate.anchor === null || !anchors.has(certificate.anchor))) return 'authority'
  if (!(now >= certificate.notBefore)) return 'not yet valid'
  return now < certificate.notAfter ? null : 'expired'
}
