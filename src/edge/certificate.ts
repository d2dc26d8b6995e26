import { createHash } from 'node:crypto'

/** Ways to write a space, a line end and a plus sign: gateways differ in whether they escape for a URL or for a form. */
const pem = /^-----BEGIN[ +]CERTIFICATE-----([A-Za-z0-9+/=\s]{64,})-----END[ +]CERTIFICATE-----\s*$/

/**
 * SHA-256 over the DER form of a percent-encoded PEM certificate (RFC 8705 section 3.1), or null when it is not exactly one. What is in it
 * need not be believed: its owner proved it to the gateway, and here it is only compared.
 */
export const certificateDigest = (value: string): Buffer | null => {
  const text = decoded(value)
  const body = text === null ? undefined : pem.exec(text)?.[1]?.replace(/\s/g, '')
  if (body === undefined) return null
  const der = Buffer.from(body, 'base64')
  return der.toString('base64') === body && isOneSequence(der) ? createHash('sha256').update(der).digest() : null
}

const decoded = (value: string): string | null => {
  try {
    return decodeURIComponent(value)
  } catch {
    return null
  }
}

/** One DER SEQUENCE, to its last byte: nothing may follow that another reader would leave out of the digest. */
const isOneSequence = (der: Buffer): boolean =>
  der.length > 4 &&
  der[0] === 0x30 &&
  ((der[1] === 0x81 && der.length === 3 + der.readUInt8(2)) || (der[1] === 0x82 && der.length === 4 + der.readUInt16BE(2)))
