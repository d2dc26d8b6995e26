import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SecretBytes } from '../model/secret.ts'

/** A key file that cannot be used; the message says which and why, and never shows its content. */
export class KeyFault extends Error {
  override readonly name = 'KeyFault'
}

const parse = (file: string, what: string, read: () => KeyObject): KeyObject => {
  let key: KeyObject
  try {
    key = read()
  } catch {
    // The library's message may quote the file.
    throw new KeyFault(`${file} is not a ${what} in PEM; make one with: postern audit keygen --out FILE`)
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new KeyFault(`${file} holds a key of type ${key.asymmetricKeyType}; it must be Ed25519.`)
  return key
}

const readText = async (file: string): Promise<string> => {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new KeyFault(`${file} cannot be read: ${error instanceof Error && 'code' in error ? String(error.code) : 'unknown fault'}`)
  }
}

/** The key that signs checkpoints. Rejects with a KeyFault. */
export const readSigningKey = async (file: string): Promise<KeyObject> => {
  const pem = await readText(file)
  return parse(file, 'private key', () => createPrivateKey(pem))
}

/** The key that checks checkpoints. Rejects with a KeyFault; a private key is refused, it has no business where logs are verified. */
export const readVerifyingKey = async (file: string): Promise<KeyObject> => {
  const pem = await readText(file)
  if (pem.includes('PRIVATE KEY')) throw new KeyFault(`${file} is a private key; give the public one that lies beside it.`)
  return parse(file, 'public key', () => createPublicKey(pem))
}

export interface KeyFiles {
  readonly privateFile: string
  readonly publicFile: string
}

/** Where `keygen --out` puts the pair: a folder gets `audit-key.pem`, a file keeps its name. */
const keyFiles = async (out: string): Promise<KeyFiles> => {
  const folder = out.endsWith('/') || ((await stat(out).catch(() => null))?.isDirectory() ?? false)
  const privateFile = folder ? join(out, 'audit-key.pem') : out
  return { privateFile, publicFile: `${privateFile.replace(/\.pem$/, '')}.pub.pem` }
}

/** Writes a new pair and never over an old one: a lost signing key ends the proof of every log that it signed. */
export const writeKeyPair = async (out: string): Promise<KeyFiles> => {
  const files = await keyFiles(out)
  for (const file of [files.privateFile, files.publicFile])
    if ((await stat(file).catch(() => null)) !== null) throw new KeyFault(`${file} exists already; remove it or choose another name.`)
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  try {
    await writeFile(files.privateFile, privateKey.export({ type: 'pkcs8', format: 'pem' }), { flag: 'wx', mode: 0o600 })
    await writeFile(files.publicFile, publicKey.export({ type: 'spki', format: 'pem' }), { flag: 'wx', mode: 0o644 })
  } catch (error) {
    throw new KeyFault(`the key cannot be written: ${error instanceof Error ? error.message : String(error)}`)
  }
  return files
}

const hashKeyBytes = 32

/** The key of a file made by `writeHashKey`: hex, 32 bytes or more. Null for anything else: a short or readable key can be guessed. */
export const parseHashKey = (bytes: Buffer): SecretBytes | null => {
  const text = bytes.toString('latin1').trim()
  return /^(?:[0-9a-fA-F]{2})+$/.test(text) && text.length >= hashKeyBytes * 2 ? new SecretBytes(Buffer.from(text, 'hex')) : null
}

/** Rejects with a KeyFault. */
export const readHashKey = async (file: string): Promise<SecretBytes> => {
  const key = parseHashKey(Buffer.from(await readText(file), 'latin1'))
  if (key === null) throw new KeyFault(`${file} holds no key of ${hashKeyBytes} bytes or more in hex; give a file of audit.hash-key-files.`)
  return key
}

/** Writes a new key for facts, never over an old one: without its key a hashed fact says nothing any more. */
export const writeHashKey = async (file: string): Promise<void> => {
  try {
    await writeFile(file, `${randomBytes(hashKeyBytes).toString('hex')}\n`, { flag: 'wx', mode: 0o600 })
  } catch (error) {
    const exists = error instanceof Error && 'code' in error && error.code === 'EEXIST'
    if (exists) throw new KeyFault(`${file} exists already; remove it or choose another name.`)
    throw new KeyFault(`the key cannot be written: ${error instanceof Error ? error.message : String(error)}`)
  }
}
