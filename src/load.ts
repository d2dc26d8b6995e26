import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { type Endpoint, formatEndpoint } from './config/values.ts'
import { type IssuerSettings, issuerSettings } from './identity/settings.ts'
import type { Proof } from './model/exchange.ts'
import type { Finding } from './model/finding.ts'
import { type Config, configFinding, type ReadConfig, readConfig } from './settings.ts'

/** A readable configuration together with the contents of every file that it names. */
export interface LoadedConfig {
  readonly file: string
  readonly read: ReadConfig
  readonly config: Config
  /** SHA-256 over the file and everything it names, hex. */
  readonly digest: string
  readonly secrets: readonly Buffer[]
  readonly issuers: readonly IssuerSettings[]
  /** PEM of each upstream's CA file, by upstream name. */
  readonly upstreamCa: ReadonlyMap<string, string>
}

const maxFile = 1024 * 1024
const minSecret = 32

/** Reads the configuration file alone. */
export const readConfigFile = async (file: string): Promise<ReadConfig | readonly Finding[]> => {
  try {
    return readConfig(file, await readFile(file))
  } catch (fault) {
    const message = `cannot be read (${errorCode(fault)}). Write the path of a configuration after --config; proxy.config.yaml of the repository is one to copy.`
    return [configFinding(file, 'C100', message)]
  }
}

/** Reads `proxy.config.yaml` and the files it names. Everything that is wrong is reported at once; nothing is half-loaded. */
export const loadConfig = async (file: string): Promise<LoadedConfig | readonly Finding[]> => {
  const read = await readConfigFile(file)
  if (!('config' in read)) return read
  if (read.config === null) return read.source.findings
  const files = new NamedFiles(read, dirname(resolve(file)))
  const secrets = await Promise.all(read.config.gateway['secret-files'].map((path, i) => files.secret(path, i)))
  const issuers = await Promise.all(
    read.config.issuers.map(async entry =>
      issuerSettings(entry, entry['ca-file'] === null ? null : await files.pem(entry['ca-file'], 'issuers')),
    ),
  )
  const upstreamCa = new Map<string, string>()
  for (const [name, upstream] of read.config.upstreams)
    if (upstream.tls !== null) upstreamCa.set(name, await files.pem(upstream.tls['ca-file'], `upstreams.${name}.tls.ca-file`))
  if (!read.source.ok) return read.source.findings
  const digest = createHash('sha256').update(read.bytes)
  for (const part of files.contents) digest.update(part)
  return { file, read, config: read.config, digest: digest.digest('hex'), secrets, issuers, upstreamCa }
}

/** The proof in force: `none-accept-direct-traffic` stands alone, so one word tells all. */
export const proofOf = (config: Config): Proof =>
  config.gateway.proof.includes('none-accept-direct-traffic') ? 'none-accept-direct-traffic' : 'shared-secret'

class NamedFiles {
  readonly contents: Buffer[] = []
  readonly #read: ReadConfig
  readonly #folder: string

  constructor(read: ReadConfig, folder: string) {
    this.#read = read
    this.#folder = folder
  }

  async secret(path: string, index: number): Promise<Buffer> {
    const key = `gateway.secret-files`
    // What stands there may be the secret itself, pasted: it is not repeated.
    const bytes = await this.#bytes(path, key, `secret file ${index + 1}`)
    const secret = Buffer.from(bytes.toString('latin1').trim(), 'latin1')
    if (bytes.length > 0 && secret.length < minSecret)
      this.#wrong(
        key,
        204,
        `secret file ${index + 1} holds ${secret.length} bytes; at least ${minSecret} random ones are needed: openssl rand -hex 32`,
      )
    // A byte that cannot stand in a field value would make a proof that no gateway can send.
    if (secret.some(byte => byte < 0x21 || byte > 0x7e))
      this.#wrong(key, 204, `secret file ${index + 1} holds bytes that cannot stand in a header. Write hex or base64.`)
    return secret
  }

  async pem(path: string, key: string): Promise<string> {
    const text = (await this.#bytes(path, key)).toString('latin1')
    if (text !== '' && !text.includes('-----BEGIN CERTIFICATE-----')) this.#wrong(key, 204, `${path} holds no PEM certificate.`)
    return text
  }

  async #bytes(path: string, key: string, shown = path): Promise<Buffer> {
    try {
      const bytes = await readFile(resolve(this.#folder, path))
      if (bytes.length === 0) this.#wrong(key, 204, `${shown} is empty.`)
      if (bytes.length > maxFile) this.#wrong(key, 102, `${shown} has ${bytes.length} bytes; at most ${maxFile} are read.`)
      this.contents.push(bytes)
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

/** Why an address of the configuration cannot be listened on. */
export const cannotListen = (at: Endpoint, fault: unknown): string => {
  const code = errorCode(fault)
  if (code === 'EADDRINUSE') return `${formatEndpoint(at)} is in use by another process. Stop it, or write another port.`
  return code === 'EACCES'
    ? `${formatEndpoint(at)}: no permission. Write a port above 1023.`
    : `cannot listen on ${formatEndpoint(at)} (${code}).`
}
