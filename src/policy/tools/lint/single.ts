import { methods } from '../../../model/exchange.ts'
import type { PolicyDocument } from '../../language/read.ts'
import type { Recognise } from '../../language/recognise-shape.ts'
import type { Rule } from '../../language/rule.ts'
import { anyone, type Definition } from '../../language/who.ts'
import { spellCallers } from './callers.ts'
import type { Report } from './report.ts'
import { spelledPath } from './routes.ts'

const day = 86_400_000
const soon = 14 * day

/** W803, W804 and W811: what the clock does to a rule. */
export const lintEnds = ({ rules }: PolicyDocument, now: number, report: Report): void => {
  for (const [index, { name, effect, until }] of rules.entries()) {
    if (until === null) continue
    const key = ['rules', index, 'until']
    const end = new Date(until).toISOString().replace('.000Z', 'Z')
    if (until <= now) report.warn(804, key, `${name} ended at ${end}. Remove the rule, or write a later moment.`)
    else if (effect === 'deny')
      report.warn(
        811,
        key,
        `the deny ${name} ends by itself at ${end}, and what it refuses is then allowed. Remove until, and end the deny by a change that somebody reviews.`,
      )
    else if (until - now <= soon) {
      const days = Math.floor((until - now) / day)
      report.warn(
        803,
        key,
        `${name} ends in ${days === 0 ? 'less than a day' : days === 1 ? '1 day' : `${days} days`}, at ${end}. Ask its owner, and write a later moment or remove the rule then.`,
      )
    }
  }
}

/** W805: names that nothing reads. `mentioned`: those that the tests name. */
export const lintUnused = ({ rules, who, claims }: PolicyDocument, mentioned: ReadonlySet<string>, report: Report): void => {
  const named = new Set([...mentioned, ...rules.flatMap(rule => [...rule.who, ...rule.except])])
  const read = new Set<string>(rules.flatMap(rule => rule.when?.check?.reads.claims ?? []))
  for (const definition of who.values())
    for (const part of definition) {
      if (typeof part === 'string') named.add(part)
      else if ('agent' in part) for (const name of part.for) named.add(name)
      else for (const name of [...(part.groups ? ['groups'] : []), ...part.claims.keys()]) read.add(name)
    }
  for (const name of who.keys())
    if (!named.has(name)) report.warn(805, ['who', name], `no rule and no other name uses ${name}. Remove it, or use it.`)
  for (const name of claims.keys())
    if (!read.has(name)) report.warn(805, ['claims', name], `nothing reads the claim ${name}. Remove it, or use it.`)
}

/** W807: every further agent in a chain is one more that somebody has to trust. */
export const lintHops = ({ rules, who }: PolicyDocument, report: Report): void => {
  for (const [index, rule] of rules.entries()) {
    if (rule.effect !== 'allow') continue
    for (const [place, name] of rule.who.entries()) {
      if (!spellCallers([name], who).agents.some(part => part.agent.maxHops === null)) continue
      report.warn(
        807,
        ['rules', index, 'who', place],
        `${name} (line ${report.line('who', name)}) lets an agent act through any number of others. Add max-hops: 1 there; for a deny, define a second name without it.`,
      )
    }
  }
}

/** W809: each issuer gives out its own subjects, and two may give out the same. */
export const lintSubjects = (who: ReadonlyMap<string, Definition>, recognise: Recognise | null, report: Report): void => {
  if (recognise === null || recognise.issuer.length < 2) return
  for (const [name, definition] of who)
    for (const [place, part] of definition.entries())
      if (typeof part !== 'string' && 'subject' in part && part.subject !== null && part.issuer === null)
        report.warn(
          809,
          ['who', name, place, 'subject'],
          `${name} names a subject, but ${recognise.issuer.length} issuers are recognised and each may give out that sub. Add issuer beside it.`,
        )
}

/** W812: a grant of everything to everybody. */
export const lintBreadth = ({ rules, who }: PolicyDocument, report: Report): void => {
  for (const [index, rule] of rules.entries()) {
    if (rule.effect !== 'allow' || rule.mode === 'shadow' || rule.when !== null || rule.login !== null) continue
    if (!spellCallers(rule.who, who).anyone) continue
    const place = rule.to.findIndex(isEverything)
    if (place >= 0)
      report.warn(
        812,
        ['rules', index, 'to', place],
        `${rule.name} lets ${anyone} do everything below ${spelledPath({ segments: rule.to[place]?.segments ?? [], rest: false })}. Name the callers, the methods or the paths.`,
      )
  }
}

const isEverything = (line: Rule['to'][number]): boolean => line.rest && line.methods.length === methods.length
