import { join } from 'node:path'
import type { Writable } from 'node:stream'
import type { Audit, EventEntry, EventKind, ExchangeEntry } from '../model/audit.ts'
import type { Deps } from '../model/deps.ts'
import type { Attestor, AttestorStatus, Predecessor } from './attest.ts'
import type { Chunk } from './chunk.ts'
import { eventCodes, type RecordKind } from './codes.ts'
import { type Disk, faultWord } from './disk.ts'
import type { FactSpeller } from './facts.ts'
import { type LineMaker, lineMaker } from './line.ts'
import { LogHead } from './log-head.ts'
import { Losses } from './losses.ts'
import { Refusals } from './refusals.ts'
import type { Vanished } from './segments.ts'
import type { AuditSettings } from './settings.ts'
import { type Sink, type SinkName, sinkKinds } from './sinks.ts'
import { Spool, type SpoolLimits } from './spool.ts'
import { States } from './states.ts'

export type AuditDeps = Pick<Deps, 'clock' | 'random' | 'log'> & { readonly stdout: Writable; readonly disk?: Disk }

export interface AuditStatus {
  readonly ready: boolean
  /** Why `ready` is false, or null. */
  readonly fault: string | null
  readonly chain: string
  /** Records of this process, by kind. */
  readonly records: ReadonlyMap<RecordKind, number>
  readonly spoolBytes: number
  readonly spoolMax: number
  /** Bytes that wait to be written. */
  readonly buffered: number
  readonly lost: number
  /** Refusals that are, or will be, part of an aggregated record. */
  readonly folded: number
  readonly checkpoint: AttestorStatus
  readonly sinks: readonly { readonly kind: SinkName; readonly up: boolean; readonly dropped: number }[]
}

export interface RunningAudit extends Audit {
  status(): AuditStatus
  /** Settles when every record so far is in its file. */
  flush(): Promise<void>
  /** Signs a checkpoint now. */
  checkpoint(): Promise<void>
  /** Settles when no write and no periodic task is under way. */
  idle(): Promise<void>
}

const tickEvery = 1000
/** Ticks between two counts of the folder, and between two aggregated records once their share is used up. */
const slowTicks = 60
const closeWithin = 10_000
const unauthenticatedShare = 0.2

export interface Parts {
  readonly disk: Disk
  readonly dir: string
  readonly chain: string
  readonly attestor: Attestor
  readonly facts: FactSpeller
  readonly used: number
  readonly limits: Omit<SpoolLimits, 'spool'>
}

/** One chain from its first record to its last signature. */
export class AuditHost implements RunningAudit {
  readonly #settings: AuditSettings
  readonly #deps: AuditDeps
  readonly #parts: Parts
  readonly #lines: LineMaker
  readonly #spool: Spool
  readonly #head: LogHead
  readonly #refusals: Refusals
  readonly #states: States
  readonly #losses = new Losses()
  readonly #sinks: readonly { readonly kind: SinkName; readonly sink: Sink }[]
  readonly #timers = new Map<string, { cancel(): void }>()
  readonly #running = new Set<Promise<void>>()
  readonly #events = new Map<EventKind, number>()
  #exchanges = 0
  #seq = 0
  #ticks = 0
  #closed: Promise<void> | null = null

  constructor(settings: AuditSettings, deps: AuditDeps, parts: Parts) {
    const { clock } = deps
    this.#settings = settings
    this.#deps = deps
    this.#parts = parts
    this.#lines = lineMaker(parts.chain, parts.facts)
    this.#refusals = new Refusals(clock, settings['spool-max'] * unauthenticatedShare)
    this.#states = new States(deps.log)
    this.#head = new LogHead(parts.chain, parts.attestor)
    this.#spool = new Spool({
      folder: join(parts.dir, parts.chain),
      disk: parts.disk,
      clock,
      limits: { ...parts.limits, spool: settings['spool-max'] },
      used: parts.used,
      written: chunk => this.#written(chunk),
      vanished: what => this.#vanished(what),
    })
    const spoolUp = (): boolean => this.#spool.fault === null
    this.#sinks = settings.sinks.map(kind => ({ kind, sink: sinkKinds[kind].open({ clock, stdout: deps.stdout, spoolUp }) }))
  }

  begin(version: string, before: Predecessor | null): void {
    this.#own('process-start', {
      version,
      node: process.version,
      'previous-chain': before?.chain ?? null,
      'previous-size': before?.size ?? null,
      'previous-root': before?.root ?? null,
    })
    this.#every('tick', tickEvery, () => this.#tick())
    // The tick tells of a sync that fails, once.
    this.#every('sync', this.#settings['sync-every'], () => this.#spool.sync().catch(() => {}))
    this.#every('checkpoint', this.#settings['checkpoint-every'], () => this.#sign())
    this.#run(this.checkpoint())
  }

  get ready(): boolean {
    return this.#spool.fault === null
  }

  exchange(entry: ExchangeEntry): void {
    if (this.#refusals.takes(entry, this.#spool.fault !== null)) return
    const line = this.#lines.exchange(this.#seq, entry)
    if (!this.#append(line)) return
    this.#exchanges++
    if (entry.effect === 'deny') this.#refusals.wrote(line.length)
  }

  event(entry: EventEntry): void {
    this.#event(entry)
  }

  status(): AuditStatus {
    return {
      ready: this.ready,
      fault: this.#spool.fault,
      chain: this.#parts.chain,
      records: new Map<RecordKind, number>([['exchange', this.#exchanges], ...this.#events]),
      spoolBytes: this.#spool.bytes,
      spoolMax: this.#settings['spool-max'],
      buffered: this.#spool.buffered,
      lost: this.#losses.total,
      folded: this.#refusals.total,
      checkpoint: this.#parts.attestor.status,
      sinks: this.#sinks.map(({ kind, sink }) => ({ kind, up: sink.up, dropped: sink.dropped })),
    }
  }

  flush(): Promise<void> {
    return this.#spool.flush()
  }

  async checkpoint(): Promise<void> {
    await this.#spool.flush()
    await this.#sign()
  }

  async idle(): Promise<void> {
    do {
      await this.#spool.settled()
      await Promise.all(this.#running)
    } while (this.#running.size > 0)
  }

  close(reason: string): Promise<void> {
    this.#closed ??= this.#shut(reason)
    return this.#closed
  }

  async #shut(reason: string): Promise<void> {
    for (const timer of this.#timers.values()) timer.cancel()
    this.#report()
    this.#own('process-stop', { reason, lost: this.#losses.total })
    const { clock, log } = this.#deps
    let overdue = { cancel: (): void => {} }
    const deadline = new Promise<'late'>(late => {
      overdue = clock.after(closeWithin, () => late('late'))
    })
    const left = await Promise.race([this.#finish(), deadline])
    overdue.cancel()
    if (left === 'late') log.error({ within: closeWithin }, 'the audit could not be closed in time; its last records are not signed')
    else if (left > 0) log.error({ records: left, fault: this.#spool.fault }, 'the audit was closed without its last records')
  }

  async #finish(): Promise<number> {
    const { left, synced } = await this.#spool.close()
    await Promise.all(this.#running)
    // One more signature, which covers process-stop.
    if (synced) await this.#head.sign(() => Promise.resolve(), this.#deps.clock.now())
    await Promise.all(this.#sinks.map(({ sink }) => sink.close()))
    return left
  }

  #sign(): Promise<void> {
    return this.#head.sign(() => this.#spool.sync(), this.#deps.clock.now())
  }

  #append(line: string): boolean {
    if (this.#spool.append(this.#seq, line)) {
      this.#seq++
      return true
    }
    this.#losses.add(this.#deps.clock.now(), this.#spool.fault ?? 'no room')
    return false
  }

  #event(entry: EventEntry): boolean {
    const kept = this.#append(this.#lines.event(this.#seq, entry))
    if (kept) this.#events.set(entry.kind, (this.#events.get(entry.kind) ?? 0) + 1)
    return kept
  }

  #own(kind: EventKind, detail: EventEntry['detail']): boolean {
    return this.#event({ kind, code: eventCodes[kind], time: this.#deps.clock.now(), tenant: null, detail })
  }

  #written(chunk: Chunk): void {
    this.#head.add(chunk)
    for (const { sink } of this.#sinks) sink.write(chunk.lines, chunk.ends.length)
    if (this.#head.due) this.#run(this.#sign())
  }

  #vanished({ file, why, first, last }: Vanished): void {
    const lost = last - first + 1
    this.#losses.taken(lost)
    this.#deps.log.error({ file, why, first, last }, 'an audit file was taken away while it was being written')
    this.#own('gap', { reason: `file ${why}`, file, first, last, lost })
  }

  async #tick(): Promise<void> {
    this.#ticks++
    this.#spool.inspect()
    const fault = this.#spool.fault
    this.#states.say('spool', fault)
    this.#states.say('checkpoint', this.#parts.attestor.status.fault)
    this.#states.say('second', this.#parts.attestor.status.secondFault)
    for (const { kind, sink } of this.#sinks) if (kind !== 'file') this.#states.say(kind, sink.up ? null : 'not read')
    if (fault === null && (!this.#refusals.shareUsed || this.#ticks % slowTicks === 0)) this.#report()
    if (fault === 'spool-full' || this.#ticks % slowTicks === 0) {
      await this.#spool.recount(this.#parts.dir)
      this.#refusals.recounted(this.#spool.bytes)
    }
  }

  /** Writes what could not be written one by one. */
  #report(): void {
    for (const { code, prefix, count, firstId, lastId, first, last } of this.#refusals.take())
      this.#own('refusals', { 'refused-with': code, prefix, count, 'first-id': firstId, 'last-id': lastId, first, last })
    const loss = this.#losses.unreported
    if (loss !== null && this.#own('gap', { ...loss, until: this.#deps.clock.now() })) this.#losses.reported(loss)
  }

  /** Runs `task` again and again, each time `ms` after it ended: a slow disk does not pile them up. */
  #every(name: string, ms: number, task: () => Promise<void>): void {
    if (this.#closed !== null) return
    this.#timers.set(
      name,
      this.#deps.clock.after(ms, () => this.#run(task().finally(() => this.#every(name, ms, task)))),
    )
  }

  #run(task: Promise<void>): void {
    const caught = task
      .catch(error => this.#deps.log.error({ fault: faultWord(error) }, 'the audit met a fault'))
      .finally(() => this.#running.delete(caught))
    this.#running.add(caught)
  }
}
