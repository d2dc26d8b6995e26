import type { KeyObject } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { chainsFile, checkpointsFile } from './attest.ts'
import type { AuditFinding } from './finding.ts'
import { fromBase64 } from './merkle.ts'
import { readLines } from './read-lines.ts'
import { scanChain, segmentsOf } from './verify-chain.ts'
import { type Expectation, judgeNotes } from './verify-notes.ts'

export interface VerifyInput {
  readonly dir: string
  readonly second: string | null
  readonly publicKey: KeyObject | null
  /** Milliseconds since the epoch, for the age of the last checkpoint. */
  readonly now: number
}

export interface ChainReport {
  readonly chain: string
  readonly records: number
  readonly attested: number
  /** The process said that it ended; else it still runs or was killed. */
  readonly ended: boolean
}

export interface Report {
  readonly verdict: 'sound' | 'tampered' | 'cannot-tell'
  readonly findings: readonly AuditFinding[]
  /** Why nothing can be said for sure. */
  readonly doubts: readonly string[]
  /** What is worth knowing and no fault. */
  readonly notes: readonly string[]
  readonly chains: readonly ChainReport[]
  readonly records: number
  /** Records that a signature vouches for, and the rest. */
  readonly attested: number
  readonly unattested: number
  /** Milliseconds since the newest checkpoint, or null where there is none. */
  readonly checkpointAge: number | null
}

/** Offline: needs the files, the second place's copy and the public key, and does not care where they lay before. */
export const verifyAudit = async (input: VerifyInput): Promise<Report> => {
  const collected = new Collected(input)
  // The proofs first, the records after: a process that still writes may only make the records longer.
  const second = await collected.secondPlace()
  const chains = await collected.chains(second)
  const notes = new Map(await Promise.all(chains.map(async chain => [chain, await collected.judge(chain, second)] as const)))
  const pointers = await collected.pointers(chains)
  for (const chain of chains) await collected.scan(chain, [...(notes.get(chain) ?? []), ...(pointers.get(chain) ?? [])])
  return collected.report()
}

/** Chains that the second place knows. */
type Second = ReadonlySet<string>

/** Only absence is an answer; a folder that may not be read says nothing about what is in it. */
const absent = (error: unknown): null => {
  if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return null
  throw error
}
const readText = (path: string): Promise<string | null> => readFile(path, 'utf8').catch(absent)
const foldersOf = async (path: string): Promise<string[]> =>
  ((await readdir(path, { withFileTypes: true }).catch(absent)) ?? []).filter(entry => entry.isDirectory()).map(entry => entry.name)
const isChainName = (name: string): boolean => /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/.test(name)

class Collected {
  readonly #in: VerifyInput
  readonly #findings: AuditFinding[] = []
  readonly #doubts: string[] = []
  readonly #notes: string[] = []
  readonly #chains: ChainReport[] = []
  readonly #gone = new Set<string>()
  #lastTime: number | null = null

  constructor(input: VerifyInput) {
    this.#in = input
    if (input.publicKey === null) this.#doubts.push('no public key was given: signatures were not checked')
  }

  /** Null where there is none. */
  async secondPlace(): Promise<Second | null> {
    const { second } = this.#in
    const list = second === null ? null : await readText(join(second, chainsFile))
    if (second === null || list === null) {
      const why = second === null ? 'no second place was given' : `the second place ${second} has no list of chains`
      this.#doubts.push(`${why}: whether the newest records, or whole chains, were cut off cannot be told`)
      return null
    }
    const listed = list.split('\n').filter(line => line !== '')
    for (const name of listed)
      if (!isChainName(name)) this.#add('checkpoint-edited', name, 'the list of chains holds a name that Postern never gives')
    const known = new Set(listed.filter(isChainName))
    for (const name of (await foldersOf(second)).filter(isChainName)) if ((await this.#there(name)) !== null) known.add(name)
    return known
  }

  /** Chains that are here; what only the second place knows is a finding. */
  async chains(second: Second | null): Promise<readonly string[]> {
    const here = new Set<string>()
    for (const chain of (await foldersOf(this.#in.dir)).filter(isChainName)) {
      const empty = (await segmentsOf(join(this.#in.dir, chain))).length === 0 && (await this.#own(chain)) === null
      if (!empty) here.add(chain)
    }
    for (const chain of second ?? []) if (!here.has(chain)) this.#missing(chain, 'the second place knows it')
    if (here.size === 0 && this.#findings.length === 0) this.#doubts.push(`there are no records in ${this.#in.dir}`)
    return [...here].toSorted()
  }

  async judge(chain: string, second: Second | null): Promise<readonly Expectation[]> {
    const there = second === null ? null : await this.#there(chain)
    const own = await this.#own(chain)
    const { findings, expectations, undelivered, lastTime } = judgeNotes(chain, own, there, this.#in.publicKey)
    this.#findings.push(...findings)
    this.#lastTime = Math.max(this.#lastTime ?? 0, lastTime ?? 0) || null
    if (second !== null && there === null && own !== null) this.#doubts.push(`the second place does not know the chain ${chain}`)
    else if (second !== null && undelivered > 0)
      this.#notes.push(`${chain}: checkpoints that have not reached the second place: ${undelivered}`)
    if (own === null && there === null) this.#notes.push(`${chain}: nothing vouches for its records, it has no checkpoint at all`)
    return expectations
  }

  /** What the first record of each chain says about the chain before it. */
  async pointers(chains: readonly string[]): Promise<ReadonlyMap<string, readonly Expectation[]>> {
    const found = new Map<string, Expectation[]>()
    for (const chain of chains) {
      const { before, size, root } = await this.#firstRecord(chain)
      if (before === null) continue
      if (!chains.includes(before)) this.#missing(before, `the first record of ${chain} names it`)
      else if (size !== null && root !== null)
        found.set(before, [
          ...(found.get(before) ?? []),
          { size, root: fromBase64(root), source: `the first record of ${chain}`, signed: false },
        ])
    }
    return found
  }

  async scan(chain: string, expectations: readonly Expectation[]): Promise<void> {
    const scan = await scanChain(
      this.#in.dir,
      chain,
      expectations.toSorted((a, b) => a.size - b.size),
    )
    if (scan.finding !== null) this.#findings.push(scan.finding)
    if (scan.torn) this.#notes.push(`${chain}: the last line is incomplete, as after a power cut`)
    this.#chains.push({ chain, records: scan.records, attested: scan.attested, ended: scan.ended })
  }

  report(): Report {
    const sum = (of: (chain: ChainReport) => number): number => this.#chains.reduce((total, chain) => total + of(chain), 0)
    const [records, attested] = [sum(c => c.records), sum(c => c.attested)]
    return {
      verdict: this.#findings.length > 0 ? 'tampered' : this.#doubts.length > 0 ? 'cannot-tell' : 'sound',
      findings: this.#findings,
      doubts: this.#doubts,
      notes: this.#notes,
      chains: this.#chains,
      records,
      attested,
      unattested: records - attested,
      checkpointAge: this.#lastTime === null ? null : Math.max(0, this.#in.now - this.#lastTime),
    }
  }

  #own(chain: string): Promise<string | null> {
    return readText(join(this.#in.dir, chain, checkpointsFile))
  }

  async #there(chain: string): Promise<string | null> {
    return this.#in.second === null ? null : await readText(join(this.#in.second, chain, checkpointsFile))
  }

  #missing(chain: string, because: string): void {
    if (this.#gone.has(chain)) return
    this.#gone.add(chain)
    this.#add('missing-chain', chain, `the whole chain is missing; ${because}`)
  }

  #add(kind: AuditFinding['kind'], chain: string, message: string): void {
    this.#findings.push({ kind, chain, first: null, last: null, message })
  }

  async #firstRecord(chain: string): Promise<{ before: string | null; size: number | null; root: string | null }> {
    const nothing = { before: null, size: null, root: null }
    const [file] = await segmentsOf(join(this.#in.dir, chain))
    let text = ''
    if (file !== undefined)
      await readLines(join(this.#in.dir, chain, file), (bytes, start, end) => {
        text = bytes.toString('utf8', start, end)
        return false
      })
    try {
      const { detail } = JSON.parse(text) as { readonly detail?: Readonly<Record<string, unknown>> }
      const [before, size, root] = [detail?.['previous-chain'], detail?.['previous-size'], detail?.['previous-root']]
      if (typeof before !== 'string' || !isChainName(before)) return nothing
      return { before, size: typeof size === 'number' ? size : null, root: typeof root === 'string' ? root : null }
    } catch {
      // The scan of the chain says what is wrong with its first record.
      return nothing
    }
  }
}
