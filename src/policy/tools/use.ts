import type { Recorded } from '../../model/recorded.ts'
import { claimFact } from '../engine/reads.ts'
import { walk } from '../language/claims.ts'
import { always } from './mask.ts'
import type { Dim, Possible } from './possible.ts'
import { lineOf, patternOf } from './replay.ts'

/** What a policy grants and no traffic needed, in file order. */
export interface Wide {
  /** Enforced rules that decided nothing. */
  readonly unused: readonly string[]
  /** Of allows that were used: lines that let nobody through, and callers that nobody who was let through belonged to. */
  readonly unneeded: readonly { readonly rule: string; readonly lines: readonly string[]; readonly callers: readonly string[] }[]
  /** Groups that `who` names and no caller carried. Null: not told by the records. */
  readonly groups: readonly string[] | null
}

interface Used {
  readonly lines: Set<string>
  readonly callers: Set<string>
  /** A caller of whom the groups are not known may be any of them. */
  unsure: boolean
}

/** Keeps count of what of a policy was used. */
export class Use {
  readonly #possible: Possible
  readonly #rules = new Map<string, Used>()
  readonly #groups = new Set<string>()
  #groupsKnown = true

  constructor(possible: Possible) {
    this.#possible = possible
  }

  add(recorded: Recorded, dim: Dim): void {
    const { document } = this.#possible.policy
    this.#carries(dim)
    // A platform rule may have the name of a tenant's.
    if (recorded.policyDigest === recorded.platformDigest) return
    const used = this.#rules.get(recorded.rule) ?? { lines: new Set(), callers: new Set(), unsure: false }
    this.#rules.set(recorded.rule, used)
    const rule = document.rules.find(one => one.name === recorded.rule)
    if (rule === undefined) return
    const line = lineOf(rule, dim)
    if (line !== null) used.lines.add(`${recorded.method} ${line}`)
    for (const name of rule.who) {
      const mask = this.#possible.holds(name, dim)
      if (mask === always) used.callers.add(name)
      else if ((mask & always) !== 0) used.unsure = true
    }
  }

  wide(): Wide {
    const { rules, who } = this.#possible.policy.document
    const enforced = rules.filter(rule => rule.mode === 'enforce')
    const unneeded = enforced.flatMap(rule => {
      const used = this.#rules.get(rule.name)
      if (used === undefined || rule.effect === 'deny') return []
      const lines = rule.to
        .flatMap(line => line.methods.map(method => `${method} ${patternOf(line)}`))
        .filter(line => !used.lines.has(line))
      const callers = used.unsure ? [] : rule.who.filter(name => !used.callers.has(name))
      return lines.length + callers.length > 0 ? [{ rule: rule.name, lines, callers }] : []
    })
    const groups = [...who.values()].flat().flatMap(one => (typeof one === 'object' && 'groups' in one ? (one.groups ?? []) : []))
    return {
      unused: enforced.filter(rule => !this.#rules.has(rule.name)).map(rule => rule.name),
      unneeded,
      groups: this.#groupsKnown ? [...new Set(groups)].filter(group => !this.#groups.has(group)) : null,
    }
  }

  #carries({ look, grades }: Dim): void {
    const path = this.#possible.policy.document.claims.get('groups')?.from ?? ['groups']
    const grade = grades.get(claimFact(path))
    if (grade !== 'exact' && grade !== 'equal') this.#groupsKnown = false
    const value = walk(look.facts.identity.claims, path)
    for (const group of Array.isArray(value) ? value : []) if (typeof group === 'string') this.#groups.add(group)
  }
}
