import type { Recorded } from '../../model/recorded.ts'
import type { CompiledPolicy } from '../engine/compile.ts'
import { Look } from '../engine/conditions.ts'
import { zoneClocks } from '../language/zone-clock.ts'
import type { CallerKeys, TestRequest } from '../tests/caller.ts'
import type { Expectation } from '../tests/case.ts'
import type { TestFile } from '../tests/file.ts'
import { type Bench, effectOf, factsOf, outcomeOf, spelled } from '../tests/run.ts'
import { type Against, revealerOf, tenantOf } from './again.ts'
import { type Around, draftCaller, type Refused, spellCaller } from './draft-caller.ts'
import { draftRequest, spellRequest } from './draft-request.ts'
import type { Hasher, Reveal } from './literals.ts'
import { always } from './mask.ts'
import type { Dim, Possible } from './possible.ts'
import { factsOfRecord } from './record-facts.ts'
import { lineOf } from './replay.ts'
import { StandIns } from './stand-ins.ts'
import { Use, type Wide } from './use.ts'

/** A table that is read by people, and what is kept until the most frequent are known. */
const most = { callers: 12, requests: 40, kept: 5000 } as const

interface Drafted<T> {
  readonly value: T
  readonly name: string
  count: number
}

export interface Learned {
  /** The test file. */
  readonly text: string
  readonly test: TestFile
  readonly cells: number
  readonly wide: Wide
  /** Requests that stand in no cell, and why. */
  readonly skipped: Readonly<Record<Skip, number>>
}

type Skip = Refused | 'no-rule' | 'bound' | 'decided-otherwise'

/** Drafts tests of one tenant from what was asked and decided. */
export class Learner {
  readonly #bench: Bench
  readonly #reveal: Reveal
  readonly #zones = zoneClocks()
  readonly #around: Around
  readonly #possible: Possible
  readonly #platform: CompiledPolicy
  readonly #use: Use
  readonly #callers = new Map<string, Drafted<CallerKeys>>()
  readonly #requests = new Map<string, Drafted<TestRequest>>()
  /** Recorded effects by caller and request. */
  readonly #seen = new Map<string, Set<string>>()
  readonly #skipped: Record<Skip, number> = { hashed: 0, unwritable: 0, 'no-rule': 0, bound: 0, 'decided-otherwise': 0 }
  #last = 0

  constructor(bench: Bench, platform: CompiledPolicy, hashers: readonly Hasher[]) {
    const against: Against = { platform, tenants: [bench] }
    const { possible, reads } = tenantOf(against, bench)
    this.#bench = bench
    this.#platform = platform
    this.#reveal = revealerOf(against, hashers)
    this.#possible = possible
    const standIns = new StandIns([platform.document, bench.policy.document], bench.recognise)
    this.#around = { document: bench.policy.document, recognise: bench.recognise, reads: new Set(reads), standIns }
    this.#use = new Use(possible)
  }

  /** False where the record is not of this tenant. */
  add(recorded: Recorded): boolean {
    const { policy } = this.#bench
    if (recorded.tenant !== policy.tenant || recorded.rule === 'tenant-mismatch' || recorded.cut.length > 0) return false
    const { facts, grades } = factsOfRecord(recorded, this.#reveal, this.#zones)
    const dim: Dim = { look: new Look(facts), grades }
    this.#last = Math.max(this.#last, recorded.time)
    this.#use.add(recorded, dim)
    const keys = draftCaller(dim, this.#around)
    const request = draftRequest(dim, [this.#platform, policy], this.#around.standIns, this.#around.reads)
    if (typeof keys === 'string' || typeof request === 'string' || request === null) {
      this.#skipped[request === null ? 'no-rule' : typeof keys === 'string' ? keys : (request as Refused)]++
      return true
    }
    const caller = this.#counted(this.#callers, spellCaller(keys), keys, names => this.#callerName(dim, names))
    const asked = this.#counted(this.#requests, spellRequest(request), request, names => numbered(this.#requestName(dim), names))
    if (caller === null || asked === null) this.#skipped.bound++
    else {
      const cell = `${asked} ${caller}`
      this.#seen.set(cell, (this.#seen.get(cell) ?? new Set()).add(recorded.effect))
    }
    return true
  }

  /** The draft, with a demand for coverage where one is given. */
  draft(coverage: number | null): Learned {
    const callers = frequent(this.#callers, most.callers)
    const requests = frequent(this.#requests, most.requests)
    const { tenant } = this.#bench.policy
    const names = {
      callers: new Map(callers.map(one => [one.name, one.value])),
      requests: new Map(requests.map(one => [one.name, one.value])),
    }
    const empty: TestFile = {
      file: `${tenant}.learned.policy-test.yaml`,
      ...names,
      expectations: [],
      never: [],
      coverage,
      mutants: null,
      now: this.#last,
    }
    const skipped = { ...this.#skipped }
    const expectations: Expectation[] = []
    const rows = requests.map(request => [
      request.name,
      ...callers.map(caller => {
        const cell = this.#cell(empty, caller.name, request.name)
        if (cell === null) return '.'
        if (typeof cell === 'string') {
          skipped[cell]++
          return '.'
        }
        expectations.push(cell)
        return spelled(cell)
      }),
    ])
    const text = [
      '# Drafted from traffic by postern learn: what callers of these kinds asked, and how the policy decides it. Nobody has said yet that it is right.',
      'postern: policy-test/v1',
      `tenant: ${tenant}`,
      `now: ${new Date(this.#last).toISOString()}`,
      'callers:',
      ...callers.map(({ name, value }) => `  ${name}: ${spellCaller(value)}`),
      'requests:',
      ...requests.map(({ name, value }) => `  ${name}: ${spellRequest(value)}`),
      'grid: |',
      ...table([['request', ...callers.map(({ name }) => name)], ...rows]),
      ...(coverage === null ? [] : [`require: { rules-covered: ${coverage}% }`]),
      '',
    ].join('\n')
    return { text, test: { ...empty, expectations }, cells: expectations.length, wide: this.#use.wide(), skipped }
  }

  /** Null: nobody asked. What is decided here otherwise than it was then is not asserted. */
  #cell(test: TestFile, caller: string, request: string): Expectation | Skip | null {
    const seen = this.#seen.get(`${request} ${caller}`)
    if (seen === undefined) return null
    const spot = { line: 0, column: 0 }
    const ask = { caller, request, overrides: new Map(), at: this.#last, by: null, role: null, hide: null, spot }
    const facts = factsOf(this.#bench, test, ask, this.#zones)
    const decision = this.#bench.engine.decide(facts)
    return seen.size === 1 && seen.has(effectOf(decision)) ? { ...ask, ...outcomeOf(decision) } : 'decided-otherwise'
  }

  #counted<T>(into: Map<string, Drafted<T>>, key: string, value: T, name: (taken: ReadonlySet<string>) => string): string | null {
    const known = into.get(key)
    if (known === undefined && into.size >= most.kept) return null
    const one = known ?? { value, name: name(new Set([...into.values()].map(other => other.name))), count: 0 }
    one.count++
    into.set(key, one)
    return one.name
  }

  #callerName(dim: Dim, taken: ReadonlySet<string>): string {
    // Files go from the many to the few: the last name says most.
    const held = [...this.#bench.policy.document.who.keys()].findLast(name => this.#possible.holds(name, dim) === always)
    return numbered(held ?? (dim.look.facts.identity.agents.length > 0 ? 'an-agent' : 'caller'), taken)
  }

  #requestName(dim: Dim): string {
    const { method } = dim.look.facts.origin
    const rules = [...this.#bench.policy.document.rules, ...this.#platform.document.rules]
    const patterns = rules.map(rule => lineOf(rule, dim) ?? '')
    const pattern = patterns.reduce((longest, one) => (one.length > longest.length ? one : longest), '')
    return `${method} ${pattern}`
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/-$/, '')
  }
}

const longestName = 50

const numbered = (stem: string, taken: ReadonlySet<string>): string => {
  const short = stem.slice(0, longestName).replace(/-$/, '')
  for (let n = 1; ; n++) if (!taken.has(`${short}-${n}`)) return `${short}-${n}`
}

/** The most frequent, in order of name, so that a draft does not change with every record. */
const frequent = <T>(drafted: ReadonlyMap<string, Drafted<T>>, n: number): readonly Drafted<T>[] =>
  [...drafted.values()]
    .sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1))
    .slice(0, n)
    .sort((a, b) => (a.name < b.name ? -1 : 1))

const table = (rows: readonly (readonly string[])[]): readonly string[] => {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map(row => row[i]?.length ?? 0)))
  return rows.map(row => `  ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')}`.trimEnd())
}
