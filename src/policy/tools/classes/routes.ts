import { type Method, methods } from '../../../model/exchange.ts'
import type { RouteLine } from '../../language/pattern.ts'
import { covers, type PathPattern, pathAtoms, segmentOf } from './paths.ts'
import type { Subject } from './subject.ts'
import type { World } from './world.ts'

export interface Route {
  readonly method: Method
  readonly path: string
  /** The path as people read it: `*` for any other segment, a final `**` for any further ones. */
  readonly shown: string
}

/** Routes on which the same rules are asked in the same order. */
export interface RouteGroup {
  readonly routes: readonly Route[]
  /** The candidates, by world. */
  readonly lists: readonly (readonly Subject[])[]
  /** Of each candidate with a check: checks with the same key say the same here. */
  readonly checks: ReadonlyMap<Subject, string>
}

export interface Routes {
  readonly groups: readonly RouteGroup[]
  /** Methods with more kinds of paths than are looked at. */
  readonly tooMany: readonly Method[]
}

/** Every kind of route of these worlds that a line of interest covers. */
export const routesOf = (worlds: readonly World[], focus: (subject: Subject) => boolean, extra: readonly RouteLine[] = []): Routes => {
  const numbers = new Map(worlds.flatMap(world => world.subjects).map((subject, number) => [subject, number]))
  const groups = new Map<string, RouteGroup & { readonly routes: Route[] }>()
  const tooMany: Method[] = []
  for (const method of methods) {
    const atoms = atomsOf(method, worlds, focus, extra)
    if (atoms === null) tooMany.push(method)
    for (const { path, shown } of atoms ?? []) {
      if (extra.length > 0 && !extra.some(line => covers({ line, ignoreSlash: true }, path))) continue
      const lists = worlds.map(world => world.candidates(method, path))
      const checks = new Map(lists.flat().flatMap(subject => (subject.check === null ? [] : [[subject, checkAt(subject, method, path)]])))
      const key = JSON.stringify([lists.map(list => list.map(subject => numbers.get(subject))), [...checks.values()]])
      const known = groups.get(key)
      if (known === undefined) groups.set(key, { routes: [{ method, path, shown }], lists, checks })
      else known.routes.push({ method, path, shown })
    }
  }
  return { groups: [...groups.values()], tooMany }
}

const atomsOf = (method: Method, worlds: readonly World[], focus: (subject: Subject) => boolean, extra: readonly RouteLine[]) => {
  const patterns = new Map<string, PathPattern>()
  const wanted = new Set<string>()
  const add = (line: RouteLine, ignoreSlash: boolean, isWanted: boolean): void => {
    if (!line.methods.includes(method)) return
    const key = JSON.stringify([ignoreSlash, line.rest, line.segments.map(segmentOf)])
    if (!patterns.has(key)) patterns.set(key, { line, ignoreSlash })
    if (isWanted) wanted.add(key)
  }
  for (const subject of worlds.flatMap(world => world.subjects))
    for (const line of subject.rule.to) add(line, subject.rule.effect === 'deny', focus(subject))
  for (const line of extra) add(line, true, true)
  return pathAtoms([...patterns.values()], new Set([...patterns.keys()].flatMap((key, i) => (wanted.has(key) ? [i] : []))))
}

/** What a check asks here: its path variables stand where the lines put them. */
const checkAt = ({ rule, check }: Subject, method: Method, path: string): string => {
  const ignoreSlash = rule.effect === 'deny'
  const lines = rule.to.filter(line => line.methods.includes(method) && covers({ line, ignoreSlash }, path))
  const places = lines.map(({ segments }) =>
    (rule.when?.check?.reads.path ?? []).map(name => segments.findIndex(segment => 'variable' in segment && segment.variable === name)),
  )
  return JSON.stringify([check, [...new Set(places.map(place => place.join()))].sort()])
}
