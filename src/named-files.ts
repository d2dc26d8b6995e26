import { createHash, createPrivateKey, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import type { Bearer } from './credentials/endpoint.ts'
import { readRecipientKey } from './credentials/seal.ts'
import type { ListenSettings } from './edge/settings.ts'
import { type TlsMaterial, tlsFault } from './edge/tls.ts'
import { gatewayAlgorithms } from './identity/gateway-assertion.ts'
import type { ClientSecret, IntrospectionEntry } from './identity/introspection-settings.ts'
import type { VerificationKey } from './identity/jwk.ts'
import { readJwks } from './identity/jwks.ts'
import type { RecipientKey } from './model/credential.ts'
import { Secret, SecretBytes } from './model/secret.ts'
import { parseHashKey } from './record/keys.ts'
import type { ReadConfig } from './settings.ts'

const maxFile = 1024 * 1024
const minSecret = 32
const mostPublicKeys = 4

/** Reads the files that a configuration names. What is wrong with one is told at its key, and what stands in it is never repeated. */
export class NamedFiles {
  /** Everything read, for the digest of the whole; in the order in which it was asked for, however long each takes to read. */
  readonly contents: Buffer[] = []
  /** Absolute paths of those whose content is secret. */
  readonly secretFiles: string[] = []
  /** Where a secret stands, by its digest. */
  readonly #purposes = new Map<string, string>()
  readonly #read: ReadConfig
  readonly #folder: string

  constructor(read: ReadConfig, folder: string) {
    this.#read = read
    this.#folder = folder
  }

  async secret(path: string, key: string, shown: string): Promise<SecretBytes> {
    const secret = await this.#secret(path, key, shown)
    const digest = createHash('sha256').update(secret).digest('hex')
    const other = this.#purposes.get(digest) ?? key
    this.#purposes.set(digest, other)
    // Who may know one of them would have the rights of the other.
    if (other !== key && secret.length > 0)
      this.#wrong(key, 204, `${shown} holds a secret of ${other}, too. Make another: openssl rand -hex 32`)
    return new SecretBytes(secret)
  }

  async bearer(
    { 'token-file': path, roles }: { readonly 'token-file': string; readonly roles: readonly string[] },
    index: number,
  ): Promise<Bearer> {
    const token = await this.#secret(path, 'credentials.endpoint.bearers', `token file ${index + 1}`)
    return { name: basename(path), digest: createHash('sha256').update(token).digest(), roles }
  }

  /** What the proxy's listener shows and whom it trusts, if the parts fit each other. */
  async tls(of: NonNullable<ListenSettings['tls']>): Promise<TlsMaterial> {
    const { 'cert-file': certificate, 'key-file': key, 'client-ca-file': clientCa } = of
    // They are renewed on their own, like secrets.
    for (const path of [certificate, clientCa]) if (path !== null) this.secretFiles.push(resolve(this.#folder, path))
    const material = {
      certificate: await this.pem(certificate, 'listen.tls.cert-file'),
      key: new SecretBytes(await this.#secretBytes(key, 'listen.tls.key-file', key)),
      clientCa: clientCa === null ? null : await this.pem(clientCa, 'listen.tls.client-ca-file'),
    }
    const fault = tlsFault(material)
    if (this.#read.source.ok && fault !== null) this.#wrong(`listen.tls.${fault.key}`, 204, fault.message)
    return material
  }

  /** What the introspecting client shows of itself. */
  async client(entry: IntrospectionEntry): Promise<ClientSecret> {
    const { 'client-secret-file': secret, 'private-key-file': key } = entry
    const shown = `the ${secret === null ? 'private key' : 'client secret'} of ${entry['client-id']}`
    const text = (await this.#secretBytes(secret ?? key ?? '', 'issuers', shown)).toString('utf8').trim()
    const fit = secret === null ? isSigningKey(text) : /^[\x21-\x7e]+$/.test(text)
    if (text !== '' && !fit)
      this.#wrong(
        'issuers',
        204,
        secret === null
          ? `${shown} is no RSA key of 2048 bits, P-256 or Ed25519 key in PKCS #8 PEM.`
          : `${shown} must be one line of printable characters.`,
      )
    return { secret: new Secret(text), digest: createHash('sha256').update(text).digest('hex') }
  }

  async recipient(path: string, key: string): Promise<RecipientKey | null> {
    const bytes = await this.#bytes(path, key)
    if (bytes.length === 0) return null
    const found = readRecipientKey(bytes.toString('utf8'))
    if (typeof found !== 'string') return found
    this.#wrong(key, 204, `${path} ${found}`)
    return null
  }

  async hashKey(path: string): Promise<SecretBytes> {
    const key = 'audit.hash-key-files'
    const bytes = await this.#secretBytes(path, key, path)
    const parsed = parseHashKey(bytes)
    if (parsed === null && bytes.length > 0)
      this.#wrong(key, 204, `${path} holds no key of 32 bytes or more in hex. Make one: postern audit keygen --hash --out FILE.`)
    return parsed ?? new SecretBytes(Buffer.alloc(0))
  }

  /** 256 bits, in hex or base64. None where the file holds something else. */
  async symmetricKey(path: string, key: string): Promise<readonly SecretBytes[]> {
    const text = (await this.#bytes(path, key)).toString('latin1').trim()
    const bytes = Buffer.from(text, /^[0-9a-f]{64}$/i.test(text) ? 'hex' : 'base64')
    if (bytes.length === 32) return [new SecretBytes(bytes)]
    if (text !== '') this.#wrong(key, 204, `${path} does not hold 32 random bytes in hex or base64: openssl rand -hex 32`)
    return []
  }

  /** None where the file holds something else. */
  async signingKey(path: string, key: string): Promise<readonly KeyObject[]> {
    const bytes = await this.#secretBytes(path, key, path)
    if (bytes.length === 0) return []
    try {
      const parsed = createPrivateKey(bytes)
      if (parsed.asymmetricKeyType === 'ed25519') return [parsed]
    } catch {
      // Said below: the library's message may quote the file.
    }
    this.#wrong(key, 204, `${path} is not an Ed25519 private key in PEM. Make one: postern audit keygen --out FILE.`)
    return []
  }

  /** Of a JWKS, every one of which must be of use: a key that is left out would show only when its signer begins to use it. */
  async publicKeys(path: string, key: string): Promise<readonly VerificationKey[]> {
    // It changes on its own, when its signer gets another key.
    this.secretFiles.push(resolve(this.#folder, path))
    const bytes = await this.#bytes(path, key)
    if (bytes.length === 0) return []
    try {
      const { keys, skipped } = await readJwks(bytes, mostPublicKeys)
      for (const { key: name, why } of skipped) this.#wrong(key, 204, `${path}: ${name} cannot be used: ${why}.`)
      for (const { kid, algorithms } of keys)
        if (kid === null) this.#wrong(key, 204, `${path}: a key has no kid, by which assertions name it.`)
        else if (!algorithms.some(one => gatewayAlgorithms.includes(one)))
          this.#wrong(key, 204, `${path}: ${kid} is for none of ${gatewayAlgorithms.join(', ')}.`)
      return keys
    } catch (fault) {
      this.#wrong(key, 204, `${path}: ${fault instanceof Error ? fault.message : String(fault)}.`)
      return []
    }
  }

  async pem(path: string, key: string): Promise<string> {
    const text = (await this.#bytes(path, key)).toString('latin1')
    if (text !== '' && !text.includes('-----BEGIN CERTIFICATE-----')) this.#wrong(key, 204, `${path} holds no PEM certificate.`)
    return text
  }

  /** `shown` stands for the path in messages: what was written there may be the secret itself, pasted. */
  async #secret(path: string, key: string, shown: string): Promise<Buffer> {
    const bytes = await this.#secretBytes(path, key, shown)
    const secret = Buffer.from(bytes.toString('latin1').trim(), 'latin1')
    if (bytes.length > 0 && secret.length < minSecret)
      this.#wrong(key, 204, `${shown} holds ${secret.length} bytes; at least ${minSecret} random ones are needed: openssl rand -hex 32`)
    // A byte that cannot stand in a field value would make a proof that no gateway can send.
    if (secret.some(byte => byte < 0x21 || byte > 0x7e))
      this.#wrong(key, 204, `${shown} holds bytes that cannot stand in a header. Write hex or base64.`)
    return secret
  }

  #secretBytes(path: string, key: string, shown: string): Promise<Buffer> {
    this.secretFiles.push(resolve(this.#folder, path))
    return this.#bytes(path, key, shown)
  }

  async #bytes(path: string, key: string, shown = path): Promise<Buffer> {
    const place = this.contents.push(Buffer.alloc(0)) - 1
    try {
      const bytes = await readFile(resolve(this.#folder, path))
      if (bytes.length === 0) this.#wrong(key, 204, `${shown} is empty.`)
      if (bytes.length > maxFile) this.#wrong(key, 102, `${shown} has ${bytes.length} bytes; at most ${maxFile} are read.`)
      this.contents[place] = bytes
      return bytes
    } catch (fault) {
      this.#wrong(key, 207, `${shown} cannot be read (${errorCode(fault)}). Paths are relative to the configuration file.`)
      return Buffer.alloc(0)
    }
  }

  #wrong(key: string, number: number, message: string): void {
    this.#read.source.error(this.#read.provenance.get(key) ?? 0, number, message)
  }
}

export const errorCode = (fault: unknown): string =>
  fault instanceof Error ? ((fault as NodeJS.ErrnoException).code ?? fault.name) : 'unknown'

const isSigningKey = (pem: string): boolean => {
  try {
    const { asymmetricKeyType: type, asymmetricKeyDetails: of } = createPrivateKey({ key: pem, format: 'pem' })
    const strong =
      type === 'ed25519' || (type === 'ec' && of?.namedCurve === 'prime256v1') || (type === 'rsa' && (of?.modulusLength ?? 0) >= 2048)
    return strong && pem.startsWith('-----BEGIN PRIVATE KEY-----')
  } catch {
    return false
  }
}
