import type { Effect } from '../../model/decision.ts'
import { type Method, methods } from '../../model/exchange.ts'
import type { Composition, Entry } from '../compose.ts'
import { platformName, rolePrefix } from '../language/names.ts'
import { zoneClocks } from '../language/zone-clock.ts'
import { roleOwner } from '../load/roles.ts'
import type { Example } from './classes/example.ts'
import { commonBase, issuersOf } from './classes/facts.ts'
import { type Route, routesOf } from './classes/routes.ts'
import type { Subject } from './classes/subject.ts'
import { transitionsOn, type Verdict } from './classes/transitions.ts'
import { trialsOf, type World, type WorldSource, withTrials, worldOf } from './classes/world.ts'
import { examples } from './diff-examples.ts'
import { documentNotes, type Note, observeNotes, recogniseNotes } from './diff-notes.ts'
import { type Described, describe, type Kind } from './diff-words.ts'

export interface Decided {
  readonly effect: Effect
  /** Rule or reason. */
  readonly by: string
}

export interface Place {
  readonly methods: readonly Method[]
  /** `*` stands for any segment, a final `**` for any further ones. */
  readonly path: string
}

/** Requests that are decided otherwise than before. */
export interface Change extends Described {
  readonly kind: Kind
  readonly before: Decided
  readonly after: Decided
  readonly places: readonly Place[]
  readonly example: Example
}

export interface TenantDiff {
  readonly tenant: string
  readonly state: 'added' | 'removed' | 'changed' | 'not compared'
  readonly notes: readonly Note[]
  readonly changes: readonly Change[]
  /** What would be decided otherwise if shadow rules were enforced, where one of them decides before or after. */
  readonly would: readonly Change[]
  /** What could not be compared, and why. */
  readonly unproven: readonly string[]
}

/** Compares what two sets of policies decide, tenant by tenant, in order of name; tenants that nothing changes are left out. */
export const diffPolicies = (before: Composition, after: Composition): readonly TenantDiff[] => {
  const names = [...new Set([...before.entries.keys(), ...after.entries.keys()])].sort()
  const diffs = names.flatMap(tenant => {
    const diff = diffTenant(tenant, before, after)
    return diff === null ? [] : [diff]
  })
  const platform = platformDiff(before, after)
  return platform === null ? diffs : [platform, ...diffs]
}

const nothing = { changes: [], would: [], unproven: [] } as const

const platformDiff = (before: Composition, after: Composition): TenantDiff | null => {
  const [old, now] = [before.platform.policy, after.platform.policy]
  const notes = old && now ? documentNotes(old.document, now.document) : []
  return notes.length === 0 ? null : { tenant: platformName, state: 'changed', notes, ...nothing }
}

const diffTenant = (tenant: string, before: Composition, after: Composition): TenantDiff | null => {
  const [old, now] = [before.entries.get(tenant), after.entries.get(tenant)]
  const refused = [refusal(old, 'old'), refusal(now, 'new')].flatMap(one => one ?? [])
  if (refused.length > 0)
    return isUntouched(old, now, before, after) ? null : { tenant, state: 'not compared', notes: [], ...nothing, unproven: refused }
  const source = old?.enforced ?? now?.enforced
  const [was, is] = [sourceOf(old, before), sourceOf(now, after)]
  if (!source?.recognise) return null
  const [a, b] = [was ?? nobodyIn(before, source.recognise), is ?? nobodyIn(after, source.recognise)]
  if (a === null || b === null || (was && is && isUntouched(old, now, before, after))) return null
  const tests = [now, old].map(entry => entry?.tested.files ?? []).find(files => files.length > 0) ?? []
  const { changes, unproven } = compare(a, b, tests)
  const trials = compareTrials(a, b, tests)
  const beside = [...prefixNotes(tenant, before, after), ...observeNotes(a, b), ...(was && is ? recogniseNotes(a, b) : [])]
  const notes = [...beside, ...orderNote(a, b, changes)]
  const doubts = [
    ...unproven,
    ...trials.unproven.filter(text => !unproven.includes(text)).map(text => `with shadow rules enforced: ${text}`),
  ]
  if (changes.length + trials.changes.length + doubts.length + notes.length === 0) return null
  return { tenant, state: was ? (is ? 'changed' : 'removed') : 'added', notes, changes, would: trials.changes, unproven: doubts }
}

const isUntouched = (old: Entry | undefined, now: Entry | undefined, before: Composition, after: Composition): boolean =>
  old?.onDisk.digest === now?.onDisk.digest && before.platform.digest === after.platform.digest

const refusal = (entry: Entry | undefined, side: string): string | null => {
  if (entry === undefined || entry.enforced !== null) return null
  return `the ${side} ${entry.onDisk.file} is refused; postern check says why`
}

const sourceOf = (entry: Entry | undefined, { platform }: Composition): WorldSource | null => {
  const { policy, recognise } = entry?.enforced ?? { policy: null, recognise: null }
  return policy && recognise && platform.policy ? { platform: platform.policy, policy, recognise } : null
}

const nobodyIn = ({ platform }: Composition, recognise: WorldSource['recognise']): WorldSource | null =>
  platform.policy && { platform: platform.policy, policy: null, recognise }

/** Whose roles of this name's prefix are: deleting a file frees them, a new file takes them. */
const prefixNotes = (tenant: string, before: Composition, after: Composition): Note[] => {
  const role = `${rolePrefix(tenant)}x`
  const [old, now] = [roleOwner(before.entries.keys())(role), roleOwner(after.entries.keys())(role)]
  if (old === now) return []
  const owner = (name: string | null): string => name ?? 'nobody'
  return [
    {
      kind: 'TENANTS',
      text: `roles ${rolePrefix(tenant)}* belonged to ${owner(old)} and now belong to ${owner(now)}`,
      widens: false,
      narrows: false,
    },
  ]
}

/** Allows that stand in another order are a change even where no request shows it today. */
const orderNote = (a: WorldSource, b: WorldSource, changes: readonly Change[]): Note[] => {
  const allows = ({ policy }: WorldSource): readonly string[] =>
    policy?.document.rules.flatMap(rule => (rule.effect === 'allow' && rule.mode === 'enforce' ? [rule.name] : [])) ?? []
  const [old, now] = [allows(a), allows(b)]
  const kept = now.filter(name => old.includes(name))
  const was = old.filter(name => now.includes(name))
  if (kept.join() === was.join() || changes.length > 0) return []
  const moved = kept.filter((name, i) => name !== was[i])
  const text = `allows stand in another order (${moved.slice(0, 5).join(', ')}${moved.length > 5 ? ', ...' : ''}), which changes no decision`
  return [{ kind: 'ORDER', text, widens: false, narrows: false }]
}

type Tests = Entry['tested']['files']

type Comparison = Pick<TenantDiff, 'changes' | 'unproven'>

/**
 * Where no shadow rule decides on either side, the policy decides as if there were none, and that is compared already. A trial that is enforced
 * now, or an enforced rule that is a trial now, would decide as before.
 */
const compareTrials = (a: WorldSource, b: WorldSource, tests: Tests): Comparison => {
  const [old, now] = [trialsOf(a), trialsOf(b)]
  if (old.size + now.size === 0) return nothing
  return compare(withTrials(a), withTrials(b), tests, (was, is) => old.has(was.by) || now.has(is.by))
}

type Meant = (before: Decided, after: Decided) => boolean

const compare = (a: WorldSource, b: WorldSource, tests: Tests, isMeant: Meant = () => true): Comparison => {
  const recognises = [a.recognise, b.recognise]
  const base = commonBase(recognises)
  // No request is recognised by both: what that means is said of recognition.
  if (base === null) return nothing
  const [before, after] = [worldOf(a), worldOf(b)]
  const { groups, tooMany } = routesOf([before, after], changedSubjects(before, after))
  const comparing = { before, after, base, issuers: issuersOf(recognises), zones: zoneClocks() }
  const unproven = tooMany.map(method => `${method}: more kinds of paths than are looked at`)
  const found: Found[] = []
  for (const group of groups) {
    const [old = [], now = []] = group.lists
    if (old.length === now.length && old.every((one, i) => keyOn(one, group.checks) === keyOn(now[i], group.checks))) continue
    const compared = transitionsOn(group, comparing)
    if (compared.unproven !== null) unproven.push(...unprovenRoutes(group.routes, compared.unproven))
    const show = examples(group, compared.space, comparing, { a, b, tests })
    for (const transition of compared.transitions) {
      const described = describe(transition, compared.space)
      if (described === null) continue
      const { kind, ...rest } = described
      const [was, is] = [decidedBy(transition.before), decidedBy(transition.after)]
      if (isMeant(was, is)) found.push({ kind, ...rest, before: was, after: is, routes: group.routes, example: show(transition) })
    }
  }
  return { changes: joined(found), unproven }
}

const keyOn = (subject: Subject | undefined, checks: ReadonlyMap<Subject, string>): string =>
  subject === undefined ? '' : `${subject.key} ${checks.get(subject)}`

const unprovenRoutes = (routes: readonly Route[], why: string): readonly string[] => [`${spelledPlaces(placesOf(routes))}: ${why}`]

const maxPlaces = 3

/** `GET HEAD /v1/a, /v1/b, POST /v1/c and 2 more` */
export const spelledPlaces = (places: readonly Place[]): string => {
  const words = places.slice(0, maxPlaces).map(({ methods: used, path }, i) => {
    const word = used.length === methods.length ? 'ANY' : used.join(' ')
    return word === places[i - 1]?.methods.join(' ') ? path : `${word} ${path}`
  })
  return `${words.join(', ')}${places.length > maxPlaces ? ` and ${places.length - maxPlaces} more` : ''}`
}

const decidedBy = ({ effect, form }: Verdict): Decided => ({ effect, by: form?.subject.rule.name ?? 'default' })

/** Rules that only one side has, or has elsewhere; all of them where those that both have stand in another order. */
const changedSubjects = (before: World, after: World): ((subject: Subject) => boolean) => {
  const keyOf = ({ key, rule }: Subject): string => `${key} ${JSON.stringify(rule.to)}`
  const [old, now] = [before, after].map(world => new Set(world.subjects.map(keyOf)))
  const kept = (world: World): string =>
    world.subjects
      .map(keyOf)
      .filter(key => old?.has(key) && now?.has(key))
      .join()
  if (kept(before) !== kept(after)) return () => true
  return subject => !(old?.has(keyOf(subject)) && now?.has(keyOf(subject)))
}

const placesOf = (routes: readonly Route[]): readonly Place[] => {
  const byPath = new Map<string, Method[]>()
  for (const method of methods) {
    const paths = new Set(routes.flatMap(route => (route.method === method ? route.shown : [])))
    for (const path of paths) {
      if (isWithin(path, paths)) continue
      const known = byPath.get(path)
      if (known === undefined) byPath.set(path, [method])
      else known.push(method)
    }
  }
  return [...byPath]
    .map(([path, used]) => ({ path, methods: used }))
    .sort((x, y) => compareText(x.methods.join(), y.methods.join()) || compareText(x.path, y.path))
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** Another of these paths includes this one: the same without a last slash, or one in `/**` above it. */
const isWithin = (path: string, paths: ReadonlySet<string>): boolean => {
  if (path.length > 1 && path.endsWith('/') && paths.has(path.slice(0, -1))) return true
  const own = path.endsWith('/**') ? path.slice(0, -3) : path
  if (own !== path && own === '') return false
  const above = own === path ? [`${own === '/' ? '' : own}/**`] : []
  for (let end = own.lastIndexOf('/'); end >= 0; end = end === 0 ? -1 : own.lastIndexOf('/', end - 1)) above.push(`${own.slice(0, end)}/**`)
  return above.some(one => one !== path && paths.has(one))
}

/** A change on the routes of one group. */
type Found = Omit<Change, 'places'> & { readonly routes: readonly Route[] }

/** Changes that read alike are one, with all their routes: those of obligations whatever rules hand them over. */
const joined = (found: readonly Found[]): readonly Change[] => {
  const byText = new Map<string, Found[]>()
  for (const one of found) {
    const { kind, who, conditions, delta, before, after } = one
    const key = JSON.stringify(kind === 'OBLIGATIONS' ? [kind, delta] : [kind, who, conditions, before, after])
    const known = byText.get(key)
    if (known === undefined) byText.set(key, [one])
    else known.push(one)
  }
  const kinds: readonly Kind[] = ['GAINS', 'LOSES', 'OBLIGATIONS', 'ORDER']
  return [...byText.values()].flatMap(merged).sort((x, y) => kinds.indexOf(x.kind) - kinds.indexOf(y.kind))
}

const merged = (alike: readonly Found[]): readonly Change[] => {
  const [first] = alike
  if (first === undefined) return []
  const { routes: _, ...change } = first
  return [
    {
      ...change,
      who: [...new Set(alike.flatMap(one => one.who))],
      conditions: change.conditions.filter(text => alike.every(one => one.conditions.includes(text))),
      places: placesOf(alike.flatMap(one => one.routes)),
      example: alike.map(one => one.example).reduce((best, one) => (rank(one) < rank(best) ? one : best)),
    },
  ]
}

/** The clearest example comes from a test file, and assumes nothing. */
const rank = ({ caller, assumed }: Example): number => (assumed.length > 0 ? 2 : 0) + (caller === null ? 1 : 0)
