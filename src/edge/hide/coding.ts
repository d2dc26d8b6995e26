import type { Transform } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'

/** A content coding (RFC 9110 section 8.4.1) that a reply may have though none was asked for. */
export interface Coding {
  open(): Transform
  /** Bytes that the decoder itself may hold. */
  readonly memory: number
}

const gzip: Coding = { open: () => createGunzip(), memory: 128 * 1024 }
const deflate: Coding = { open: () => createInflate(), memory: 128 * 1024 }
/** Its window is the sender's choice, up to 16 MiB (RFC 7932 section 9.1). */
const brotli: Coding = { open: () => createBrotliDecompress(), memory: 16 * 1024 * 1024 }

/** CVE-2026-111497: below 24.22.1 and 26.12.1 a brotli stream can run code. */
const decodesBrotli = (node: string): boolean => {
  const [major = 0, minor = 0, patch = 0] = node.split('.').map(Number)
  const fixed: Readonly<Record<number, readonly [number, number]>> = { 24: [22, 1], 26: [12, 1] }
  const [fixedMinor, fixedPatch] = fixed[major] ?? [Number.POSITIVE_INFINITY, 0]
  return major > 26 || minor > fixedMinor || (minor === fixedMinor && patch >= fixedPatch)
}

/** The coding that `Content-Encoding` names; `identity` where there is none; null for several, and for one that this Node must not decode. */
export const codingOf = (values: readonly string[], node = process.versions.node): Coding | 'identity' | null => {
  const [value = 'identity', ...others] = values
  if (others.length > 0) return null
  switch (value.trim().toLowerCase()) {
    case 'identity':
      return 'identity'
    case 'gzip':
    case 'x-gzip':
      return gzip
    case 'deflate':
      return deflate
    case 'br':
      return decodesBrotli(node) ? brotli : null
    default:
      return null
  }
}
