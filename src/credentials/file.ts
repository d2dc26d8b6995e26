import { readDocument } from '../config/document.ts'
import { type Context, fail, integer, named, optional, parsed, record, required, type Shape, text, Wrong } from '../config/shape.ts'
import { type Node, Source } from '../config/source.ts'
import type { Credential, CredentialProvider, CredentialStatus, Unavailable } from '../model/credential.ts'
import type { Clock } from '../model/deps.ts'
import type { Finding } from '../model/finding.ts'
import { Secret } from '../model/secret.ts'
import type { Observe } from './events.ts'
import { wrongRole } from './names.ts'
import { watchFile } from './watch.ts'

export interface FileProviderOptions {
  readonly file: string
  readonly observe: Observe
  readonly clock: Clock
}

/** Like `text`, but what it says about a fault never shows what stands there. */
const secretText: Shape<Secret> = {
  schema: { type: 'string' },
  read(node: Node, at: Context) {
    if (node.kind === 'scalar' && typeof node.value === 'string' && node.value !== '') return new Secret(node.value)
    return fail(at, node, 203, 'password is not text. Write it in quotes.')
  },
}

const instant = parsed('an instant such as 2026-12-31T23:59:59Z', value => {
  const ms = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(value) ? Date.parse(value) : Number.NaN
  return Number.isNaN(ms) ? new Wrong('not-after is not an instant; write it like 2026-12-31T23:59:59Z.') : ms
})

const entries = named(
  record({
    username: required(
      text('a user name', value => (value === '' ? 'username is empty.' : null)),
      'Login role.',
    ),
    password: required(secretText, 'Its password.'),
    generation: optional<number | null>(
      integer(1, 2 ** 31 - 1),
      null,
      'Counts up with each change. Default: counted while the process runs.',
    ),
    'not-after': optional(instant, Number.POSITIVE_INFINITY, 'When the login ends.'),
  }),
  wrongRole,
)
type Entries = ReturnType<typeof parse>['value']

/** Reads `{ "<role>": { "username", "password", "generation", "not-after" } }`. */
const parse = (file: string, bytes: Buffer) => {
  const source = new Source(file, bytes, 'C')
  const { value } = readDocument(source, entries)
  return { value, findings: source.findings.map(withoutText) }
}

/** The YAML parser quotes what it stumbles over, and here that may be a password. */
const withoutText = (finding: Finding): Finding =>
  finding.code === 'C103' ? { ...finding, message: 'not valid JSON from here on. Check quotes, commas and braces.' } : finding

/** Credentials that something else makes and writes to a file. A broken file changes nothing: the last good content stays. */
export const openFileProvider = async (
  options: FileProviderOptions,
): Promise<{ readonly provider: CredentialProvider; readonly findings: readonly Finding[] }> => {
  const provider = new FileProvider(options)
  return { provider, findings: await provider.load() }
}

class FileProvider implements CredentialProvider {
  readonly #options: FileProviderOptions
  readonly #watched: ReturnType<typeof watchFile>
  #credentials: ReadonlyMap<string, Credential> = new Map()
  #named: readonly string[] = []
  /** What is wrong with the file on disk; the last good content stays in use. */
  #fault = ''
  #closed = false

  constructor(options: FileProviderOptions) {
    this.#options = options
    this.#watched = watchFile(options.file, options.clock, bytes => this.#take(bytes))
  }

  async load(): Promise<readonly Finding[]> {
    return this.#take(await this.#watched.read())
  }

  current(role: string): Credential | Unavailable {
    const found = this.#credentials.get(role)
    if (this.#closed || found === undefined)
      return unavailable(this.#closed ? 'Postern is stopping' : `${role} does not stand in the credentials file`)
    return found.notAfter > this.#options.clock.now() ? found : unavailable(`the credential of ${role} ended; the file has no newer one`)
  }

  roles(roles: readonly string[]): void {
    this.#named = roles
  }

  status(): readonly CredentialStatus[] {
    return this.#named.map(role => {
      const answer = this.current(role)
      const shown = { role, onPrevious: null, cutEnds: 'unknown', holder: '' } as const
      if ('unavailable' in answer)
        return { ...shown, generation: 0, slot: '', state: 'unavailable', notAfter: 0, nextAt: 0, detail: answer.detail }
      const { generation, username, notAfter, nextAt } = answer
      return { ...shown, generation, slot: username, state: 'current', notAfter, nextAt, detail: this.#fault }
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#watched.close()
  }

  #take(bytes: Buffer | null): readonly Finding[] {
    const { file, observe } = this.#options
    const { value, findings } = bytes === null ? unreadable(file) : parse(file, bytes)
    if (value !== null) this.#credentials = merge(this.#credentials, value)
    this.#fault = value === null ? `the last good credentials stay in use: ${findings[0]?.message ?? ''}` : ''
    observe({ kind: 'file', roles: this.#credentials.size, findings })
    return findings
  }
}

/** An unchanged entry keeps its object and its number, so that backends keep their pools. */
const merge = (before: ReadonlyMap<string, Credential>, entries: NonNullable<Entries>): ReadonlyMap<string, Credential> => {
  const after = new Map<string, Credential>()
  for (const [role, { username, password, generation, 'not-after': notAfter }] of entries) {
    const old = before.get(role)
    const same = old !== undefined && old.username === username && old.password.open() === password.open()
    const counted = same ? old.generation : (old?.generation ?? 0) + 1
    const next = Object.freeze({ role, username, password, generation: generation ?? counted, notAfter, nextAt: notAfter })
    after.set(role, same && old.generation === next.generation && old.notAfter === notAfter ? old : next)
  }
  return after
}

const unreadable = (file: string): ReturnType<typeof parse> => ({
  value: null,
  findings: [
    {
      file,
      line: 0,
      column: 0,
      severity: 'error',
      code: 'C101',
      message: 'the credentials file cannot be read. Check that it exists and who may read it.',
    },
  ],
})

const unavailable = (detail: string): Unavailable => ({ unavailable: 'credential-unavailable', detail })
