import { createCipheriv, createDecipheriv, createHash } from 'node:crypto'
import { Secret, type SecretBytes } from '../model/secret.ts'
import type { Slot } from './names.ts'

/** What a stored secret belongs to. Bound into its encryption, so that a row copied to another place opens nothing. */
export interface Place {
  readonly role: string
  readonly generation: number
  readonly slot: Slot
  /** Milliseconds since the epoch. */
  readonly notBefore: number
  readonly notAfter: number
}

/** Encrypts the secrets that a group's sidecars share through Cassandra, which therefore never holds one in the clear. */
export interface Vault {
  seal(secret: Secret, place: Place): string
  /** Null: sealed by a key that we do not have, for another place, or not a sealed secret at all. */
  open(sealed: string, place: Place): Secret | null
}

export interface VaultOptions {
  /** AES-256 keys; the first seals, all open: a new key is put first once every sidecar has it. */
  readonly keys: readonly SecretBytes[]
  readonly cluster: string
  readonly group: string
  readonly random: (bytes: number) => Buffer
}

const ivBytes = 12
const tagBytes = 16

/** AES-256-GCM (NIST SP 800-38D); random 96-bit nonces are good for 2^32 secrets a key. */
export const openVault = ({ keys, cluster, group, random }: VaultOptions): Vault => {
  const byId = new Map(keys.map(key => [keyId(key.open()), key]))
  const [first] = byId
  const context = ({ role, generation, slot, notBefore, notAfter }: Place): Buffer =>
    framed([cluster, group, role, String(generation), slot, String(notBefore), String(notAfter)])
  return {
    seal(secret, place) {
      if (first === undefined) throw new Error('no key to seal with')
      const [id, key] = first
      const iv = random(ivBytes)
      const cipher = createCipheriv('aes-256-gcm', key.open(), iv, { authTagLength: tagBytes }).setAAD(context(place))
      const text = Buffer.concat([cipher.update(secret.open(), 'utf8'), cipher.final()])
      return `v1.${id}.${Buffer.concat([iv, text, cipher.getAuthTag()]).toString('base64url')}`
    },
    open(sealed, place) {
      const [version, id = '', body = ''] = sealed.split('.')
      const key = byId.get(id)
      const bytes = Buffer.from(body, 'base64url')
      if (version !== 'v1' || key === undefined || bytes.length < ivBytes + tagBytes) return null
      const decipher = createDecipheriv('aes-256-gcm', key.open(), bytes.subarray(0, ivBytes), { authTagLength: tagBytes })
      decipher.setAAD(context(place)).setAuthTag(bytes.subarray(-tagBytes))
      try {
        return new Secret(Buffer.concat([decipher.update(bytes.subarray(ivBytes, -tagBytes)), decipher.final()]).toString('utf8'))
      } catch {
        return null
      }
    },
  }
}

/** Tells keys apart without telling anything about them. */
const keyId = (key: Buffer): string => createHash('sha256').update('postern vault key').update(key).digest('base64url').slice(0, 11)

/** Each part behind its length: no two lists of parts give the same bytes (CVE-2023-35941). */
const framed = (parts: readonly string[]): Buffer =>
  Buffer.concat(
    parts.flatMap(part => {
      const bytes = Buffer.from(part)
      const length = Buffer.alloc(4)
      length.writeUInt32BE(bytes.length)
      return [length, bytes]
    }),
  )
