import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, type Writable } from 'node:stream'
import { onTestFinished } from 'vitest'
import type { ExchangeEntry } from '../../src/model/audit.ts'
import type { Log, LogFields } from '../../src/model/deps.ts'
import { openAudit } from '../../src/record/audit.ts'
import type { Disk } from '../../src/record/disk.ts'
import type { RunningAudit } from '../../src/record/host.ts'
import type { AuditSettings } from '../../src/record/settings.ts'
import type { SpoolLimits } from '../../src/record/spool.ts'
import { type Report, verifyAudit } from '../../src/record/verify.ts'
import { ManualClock } from './manual-clock.ts'

export const temporaryFolder = async (): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), 'postern-audit-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }))
  return folder
}

export const entry = (changes: Partial<ExchangeEntry> = {}): ExchangeEntry => ({
  kind: 'exchange',
  code: 'PST2001',
  time: Date.parse('2026-11-23T10:00:00.007Z'),
  tenant: 'acme',
  issuer: 'https://login.acme.example/',
  subject: 'alice',
  agents: [],
  proof: ['shared-secret'],
  gatewayRequestId: 'JKJaXmPLvHcESHA=',
  peer: '10.0.0.9',
  requestId: 'r-1',
  method: 'GET',
  host: 'acme.api.example.com',
  route: 'orders-v1',
  path: '/v1/orders/7',
  clientIp: '203.0.113.7',
  userAgent: 'curl/8',
  requestBytes: 0,
  effect: 'allow',
  rule: 'read-orders',
  role: 'orders_read',
  reason: '',
  policyDigest: 'abc',
  decided: null,
  inDoubt: false,
  shadow: null,
  observed: null,
  credentialRole: 'orders_read',
  credentialGeneration: 3,
  upstream: 'orders',
  upstreamStatus: 200,
  upstreamMs: 3.2,
  status: 200,
  responseBytes: 10,
  ms: 4.561,
  hidden: 0,
  aborted: false,
  ...changes,
})

export interface Line {
  readonly level: string
  readonly fields: LogFields
  readonly message: string
}

export const collectingLog = (): Log & { readonly lines: Line[] } => {
  const lines: Line[] = []
  const at = (level: string) => (fields: LogFields, message: string) => void lines.push({ level, fields, message })
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

const pair = generateKeyPairSync('ed25519')
export const signingKey = pair.privateKey
export const verifyingKey = createPublicKey(pair.privateKey)

export interface TestAudit {
  readonly audit: RunningAudit
  readonly base: string
  readonly clock: ManualClock
  readonly log: ReturnType<typeof collectingLog>
  readonly chain: string
  /** Path of a file of this chain, beside the records or in the second place. */
  own(name: string): string
  there(name: string): string
  /** Lets `seconds` pass, one by one, with everything that they set off. */
  pass(seconds: number): Promise<void>
  records(): Promise<Record<string, unknown>[]>
  segments(): Promise<string[]>
  verify(): Promise<Report>
}

export interface TestAuditOptions {
  readonly base?: string
  readonly clock?: ManualClock
  readonly disk?: Disk
  readonly stdout?: Writable
  readonly settings?: Partial<AuditSettings>
  readonly limits?: Partial<SpoolLimits>
  readonly instance?: string
}

/** A real audit in a folder of its own, with time in the test's hands. */
export const testAudit = async (options: TestAuditOptions = {}): Promise<TestAudit> => {
  const base = options.base ?? (await temporaryFolder())
  const clock = options.clock ?? new ManualClock()
  const log = collectingLog()
  const settings: AuditSettings = {
    dir: 'audit',
    'key-file': 'unused',
    second: 'second',
    durability: 'interval',
    'sync-every': 1000,
    'checkpoint-every': 10_000,
    'on-full': 'refuse',
    'spool-max': 1024 ** 3,
    sinks: ['file'],
    begin: 'none',
    'hash-key-files': [],
    plain: [],
    ...options.settings,
  }
  const audit = await openAudit(
    settings,
    { clock, log, random: randomBytes, stdout: options.stdout ?? new PassThrough(), ...(options.disk ? { disk: options.disk } : {}) },
    { instance: options.instance ?? 'unit', version: '0.0.0', base, key: signingKey, hashKeys: [], limits: options.limits ?? {} },
  )
  onTestFinished(() => closeInTime(audit, clock, base))
  const { chain } = audit.status()
  const own = (name: string): string => join(base, 'audit', chain, name)
  const segments = async (): Promise<string[]> => (await readdir(join(base, 'audit', chain))).filter(n => n.endsWith('.jsonl')).toSorted()
  return {
    audit,
    base,
    clock,
    log,
    chain,
    own,
    there: name => join(base, 'second', chain, name),
    async pass(seconds) {
      for (let i = 0; i < seconds; i++) {
        await clock.advance(1000)
        await audit.idle()
      }
    },
    segments,
    async records() {
      const texts = await Promise.all((await segments()).map(name => readFile(own(name), 'utf8')))
      return texts
        .join('')
        .split('\n')
        .slice(0, -1)
        .map(line => JSON.parse(line) as Record<string, unknown>)
    },
    verify: () => verifyFolder(base, clock),
  }
}

/** Closes an audit whose deadlines are on a clock that only tests move; they are moved when real work had its chance. */
const closeInTime = async (audit: RunningAudit, clock: ManualClock, base: string): Promise<void> => {
  let open = true
  const closing = audit.close('test').finally(() => {
    open = false
  })
  while (open) {
    for (let i = 0; i < 50 && open; i++) await readdir(base)
    if (open) await clock.advance(1000)
  }
  await closing
}

export const verifyFolder = (base: string, clock: ManualClock): Promise<Report> =>
  verifyAudit({ dir: join(base, 'audit'), second: join(base, 'second'), publicKey: verifyingKey, now: clock.now() })
