import type { Deps } from '../model/deps.ts'
import type { Identity } from '../model/identity.ts'
import { Refusal } from '../model/problem.ts'
import type { Entry } from './entry.ts'
import { type Kept, KeptFile } from './file.ts'
import { DenyList } from './list.ts'
import type { Share } from './share.ts'

export interface RevocationParts extends Pick<Deps, 'clock' | 'log'> {
  /** The state folder, and what was read from it. */
  readonly state: string
  readonly kept: Kept
  /** Null: this process is alone. */
  readonly share: Share | null
  /** Milliseconds. */
  readonly pollEvery: number
  readonly maxAge: number
}

/** What became of an act beyond this process; null where all went well, else why not. The act itself is in force. */
export interface Done {
  readonly notKept: string | null
  readonly notShared: string | null
}

export interface RevocationStatus {
  /** Denials in force. */
  readonly entries: number
  /** Those that the shared table has not taken yet. */
  readonly unshared: number
  /** Since the shared table was read; null where none is shared, or it never was. */
  readonly ageSeconds: number | null
  readonly lastError: string | null
}

/** How often what is over is dropped where nothing is polled. */
const sweepEvery = 60_000
/** A start waits so long for the shared table. */
const firstLook = 5_000

/** Who is denied although the token is good: held here, kept in a file, and shared where that is configured. */
export class Revocation {
  readonly #parts: RevocationParts
  readonly #list = new DenyList()
  readonly #unshared: Set<string>
  readonly #file: KeptFile
  /** On the monotonic clock. */
  #freshUntil: number
  #readAt: number | null
  #savedReadAt: number | null
  #lastError: string | null = null
  #stale = false
  #timer: { cancel(): void } | null = null
  #closed = false
  #round: Promise<void> = Promise.resolve()
  #told: () => void = () => undefined

  constructor(parts: RevocationParts) {
    const { clock, kept, maxAge } = parts
    this.#parts = parts
    for (const entry of kept.entries) this.#list.put(entry)
    this.#unshared = new Set(kept.unshared)
    this.#readAt = kept.readAt
    this.#savedReadAt = kept.readAt
    // A clock that was set back says nothing about the age of what was read.
    const age = kept.readAt === null || kept.readAt > clock.now() ? Number.POSITIVE_INFINITY : clock.now() - kept.readAt
    this.#freshUntil = clock.monotonic() + maxAge - age
    this.#file = new KeptFile(parts.state, () => ({ entries: this.#list.all(), unshared: [...this.#unshared], readAt: this.#readAt }))
  }

  /** Asked on every request, for a known token as for a new one. */
  refusal(identity: Identity): Refusal | null {
    const { clock, share } = this.#parts
    if (share !== null && clock.monotonic() > this.#freshUntil) return new Refusal('PST3104', this.#lastError ?? 'never read', 5)
    if (this.#list.size === 0) return null
    const entry = this.#list.ofCaller(identity, clock.now())
    return entry === null ? null : new Refusal('PST3020', entry.id)
  }

  tenantRefusal(tenant: string | null): Refusal | null {
    if (tenant === null || this.#list.size === 0) return null
    const entry = this.#list.ofTenant(tenant, this.#parts.clock.now())
    return entry === null ? null : new Refusal('PST2108', entry.id)
  }

  /** Called on every change of what is denied, and when nobody can tell any more. */
  onChange(told: () => void): void {
    this.#told = told
  }

  /** In force when it returns, wherever it can be written afterwards. Null: the list is full. */
  add(entry: Entry): Promise<Done> | null {
    this.#list.sweep(this.#parts.clock.now())
    if (this.#list.put(entry) === 'full') return null
    if (this.#parts.share !== null) this.#unshared.add(entry.id)
    this.#told()
    return Promise.all([this.#save(), this.#push(entry)]).then(([notKept, notShared]) => ({ notKept, notShared }))
  }

  get(id: string): Entry | null {
    const entry = this.#list.get(id)
    return entry === undefined || entry.removed || entry.until <= this.#parts.clock.now() ? null : entry
  }

  list(): readonly Entry[] {
    const now = this.#parts.clock.now()
    return this.#list
      .all()
      .filter(({ removed, until }) => !removed && until > now)
      .sort((a, b) => a.at - b.at)
  }

  status(): RevocationStatus {
    const age = this.#parts.share === null || this.#readAt === null ? null : this.#parts.clock.now() - this.#readAt
    return {
      entries: this.list().length,
      unshared: this.#unshared.size,
      ageSeconds: age === null ? null : Math.round(age / 1000),
      lastError: this.#lastError,
    }
  }

  /** Begins to look into the shared table; returns after the first look, or a few seconds. */
  async start(): Promise<void> {
    const { clock, share } = this.#parts
    if (share === null) return this.#later()
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = clock.after(firstLook, resolve)
    this.#round = this.#look()
    await Promise.race([this.#round, promise])
    timer.cancel()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    await this.#round
    await this.#parts.share?.close()
  }

  #later(): void {
    if (this.#closed) return
    const { clock, share, pollEvery } = this.#parts
    this.#timer = clock.after(share === null ? sweepEvery : pollEvery, () => {
      this.#round = this.#look()
    })
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    const { clock, share, maxAge } = this.#parts
    let dirty = this.#list.sweep(clock.now())
    for (const id of this.#unshared) if (this.#list.get(id) === undefined) this.#unshared.delete(id)
    if (share !== null) dirty = (await this.#exchange(share)) || dirty
    const aged = this.#readAt !== null && this.#readAt - (this.#savedReadAt ?? 0) > maxAge / 4
    if (dirty || aged) await this.#save()
    this.#later()
  }

  /** Gives what the table lacks and takes what it has. True where this changed anything here. */
  async #exchange(share: Share): Promise<boolean> {
    const { clock, log, maxAge } = this.#parts
    const [began, at] = [clock.monotonic(), clock.now()]
    try {
      for (const id of this.#unshared) {
        const entry = this.#list.get(id)
        if (entry !== undefined) await share.push(entry, clock.now())
        this.#unshared.delete(id)
      }
      const changed = this.#merge(await share.pull())
      if (this.#lastError !== null) log.info({}, 'the shared deny list can be read again')
      this.#lastError = null
      this.#freshUntil = began + maxAge
      this.#readAt = at
      this.#stale = false
      if (changed) this.#told()
      return changed
    } catch (fault) {
      const error = fault instanceof Error ? fault.message : String(fault)
      // Said once for each outage; the age stands in the metrics.
      log[this.#lastError === null ? 'warn' : 'debug']({ error }, 'the shared deny list cannot be read; the last copy holds')
      this.#lastError = error
      if (!this.#stale && clock.monotonic() > this.#freshUntil) {
        this.#stale = true
        log.error({ error }, 'the deny list is too old: requests with a token are refused (503) until it can be read')
        this.#told()
      }
      return false
    }
  }

  #merge(rows: readonly Entry[]): boolean {
    const now = this.#parts.clock.now()
    let changed = false
    for (const row of rows) {
      if (row.until <= now) continue
      const put = this.#list.put(row)
      if (put === 'full') throw new Error('more is denied than one process keeps')
      changed ||= put === 'new'
      const mine = this.#list.get(row.id)
      if (mine !== undefined && (mine.at !== row.at || mine.removed !== row.removed)) this.#unshared.add(row.id)
    }
    return changed
  }

  async #push(entry: Entry): Promise<string | null> {
    const { clock, log, share } = this.#parts
    if (share === null) return null
    try {
      await share.push(entry, clock.now())
      // What was made of it meanwhile is to be shared still.
      if (this.#list.get(entry.id) === entry) this.#unshared.delete(entry.id)
      return null
    } catch (fault) {
      log.warn({ id: entry.id, error: String(fault) }, 'a denial is in force here and not shared yet; it is tried again')
      return fault instanceof Error ? fault.message : String(fault)
    }
  }

  async #save(): Promise<string | null> {
    const readAt = this.#readAt
    try {
      await this.#file.save()
      this.#savedReadAt = readAt
      return null
    } catch (fault) {
      this.#parts.log.error({ fault: String(fault) }, 'the deny list cannot be written: a restart would forget what was denied since')
      return fault instanceof Error ? fault.message : String(fault)
    }
  }
}
