import type { Steps } from '../../config/steps.ts'
import type { Recognise } from '../language/recognise-shape.ts'

export interface Member {
  readonly tenant: string
  readonly recognise: Recognise
}

/**
 * True if no request can be recognised as both. Audiences do not count, for a token may carry several; nor would
 * two claims that merely differ in name.
 */
export const apart = (a: Recognise, b: Recognise): boolean => {
  if (disjoint(a.issuer, b.issuer)) return true
  if (a.host !== null && b.host !== null && disjoint(a.host, b.host)) return true
  for (const [name, values] of a.claims) {
    const other = b.claims.get(name)
    if (other !== undefined && disjoint(values, other)) return true
  }
  return false
}

const disjoint = (a: readonly string[], b: readonly string[]): boolean => !a.some(value => b.includes(value))

/** Members of one issuer that use the same claims, by each value and host: ten thousand tenants are fifty million pairs. */
interface Group {
  readonly claims: readonly string[]
  readonly byValue: Map<string, Member[]>
  readonly byHost: Map<string, Member[]>
  readonly hostless: Member[]
  readonly members: Member[]
}

/** For each asked member, another one that it cannot be told apart from. */
export function* overlaps(members: readonly Member[], asked: (member: Member) => boolean): Steps<ReadonlyMap<string, string>> {
  const found = new Map<string, string>()
  if (!members.some(asked)) return found
  const groups = yield* groupsOf(members)
  for (const member of members) {
    if (!asked(member)) continue
    yield
    const other = firstOverlap(member, groups)
    if (other !== null) found.set(member.tenant, other)
  }
  return found
}

const firstOverlap = (member: Member, groups: ReadonlyMap<string, ReadonlyMap<string, Group>>): string | null => {
  for (const issuer of member.recognise.issuer)
    for (const group of groups.get(issuer)?.values() ?? [])
      for (const other of near(member, group)) if (other !== member && !apart(member.recognise, other.recognise)) return other.tenant
  return null
}

/** A superset of the group's members that the given one overlaps. */
const near = ({ recognise }: Member, group: Group): readonly Member[] => {
  const common = group.claims.find(name => recognise.claims.has(name))
  if (common !== undefined) return (recognise.claims.get(common) ?? []).flatMap(value => group.byValue.get(`${common}\n${value}`) ?? [])
  if (recognise.host === null) return group.members
  return [...group.hostless, ...recognise.host.flatMap(host => group.byHost.get(host) ?? [])]
}

function* groupsOf(members: readonly Member[]): Steps<ReadonlyMap<string, ReadonlyMap<string, Group>>> {
  const issuers = new Map<string, Map<string, Group>>()
  for (const member of members) {
    const claims = [...member.recognise.claims.keys()].sort()
    for (const issuer of member.recognise.issuer) {
      const groups = issuers.get(issuer) ?? new Map<string, Group>()
      issuers.set(issuer, groups)
      const key = claims.join('\n')
      const group = groups.get(key) ?? { claims, byValue: new Map(), byHost: new Map(), hostless: [], members: [] }
      groups.set(key, group)
      addTo(group, member)
    }
    yield
  }
  return issuers
}

const addTo = (group: Group, member: Member): void => {
  const { host, claims } = member.recognise
  group.members.push(member)
  if (host === null) group.hostless.push(member)
  for (const name of host ?? []) push(group.byHost, name, member)
  for (const [name, values] of claims) for (const value of values) push(group.byValue, `${name}\n${value}`, member)
}

const push = (map: Map<string, Member[]>, key: string, member: Member): void => {
  const known = map.get(key)
  if (known === undefined) map.set(key, [member])
  else known.push(member)
}

const maxClaimNames = 4

/** Claim names beyond the fourth that tenants of one issuer are told apart by; names that `kept` members use come first. */
export function* surplusClaims(members: readonly Member[], kept: (member: Member) => boolean): Steps<ReadonlyMap<string, string>> {
  const names = new Map<string, Set<string>>()
  for (const member of members.toSorted((a, b) => Number(kept(b)) - Number(kept(a)))) {
    for (const issuer of member.recognise.issuer) {
      const used = names.get(issuer) ?? new Set()
      names.set(issuer, used)
      for (const name of [...member.recognise.claims.keys()].sort()) used.add(name)
    }
    yield
  }
  const found = new Map<string, string>()
  for (const member of members) {
    const over = member.recognise.issuer.flatMap(issuer => [...(names.get(issuer) ?? [])].slice(maxClaimNames))
    const name = [...member.recognise.claims.keys()].find(claim => over.includes(claim))
    if (name !== undefined) found.set(member.tenant, name)
    yield
  }
  return found
}
