import type { Route } from '../model/exchange.ts'

export interface Found {
  readonly route: Route | null
  /** The path after `gateway.strip-prefix`: what policy sees and what goes upstream. */
  readonly path: string
  /** Where clients reach the route, or its host where none covers the path; null for a host that no route names. */
  readonly publicUrl: string | null
}

export interface RouteTable {
  find(host: string, path: string): Found
  /** The route of a path that `find` gave. */
  again(host: string, path: string): Route | null
  /** Public URLs of a host's routes, each once. */
  resources(host: string): readonly string[]
}

/** By exact host, then the longest prefix that ends on a segment border (contract 2). */
export const createRouteTable = (routes: readonly Route[], stripPrefix: string): RouteTable => {
  const byHost = new Map<string, Route[]>()
  for (const route of routes) byHost.set(route.host, [...(byHost.get(route.host) ?? []), route])
  for (const list of byHost.values()) list.sort((a, b) => b.prefix.length - a.prefix.length)
  const routeOf = (host: string, stripped: string): Route | null =>
    byHost.get(host)?.find(candidate => covers(candidate.prefix, stripped)) ?? null
  const resources = new Map([...byHost].map(([host, list]) => [host, [...new Set(list.map(({ publicUrl }) => publicUrl))]]))
  return {
    again: routeOf,
    resources: host => resources.get(host) ?? [],
    find(host, path) {
      const stripped = strip(path, stripPrefix)
      // A path without the configured prefix has no route, but policy must still see something real: the path as it came.
      const whole = byHost.get(host)?.at(-1)?.publicUrl ?? null
      if (stripped === null) return { route: null, path, publicUrl: whole }
      const route = routeOf(host, stripped)
      return { route, path: stripped, publicUrl: route?.publicUrl ?? whole }
    },
  }
}

const covers = (prefix: string, path: string): boolean =>
  path.startsWith(prefix) && (path.length === prefix.length || path.charCodeAt(prefix.length) === 0x2f)

const strip = (path: string, prefix: string): string | null => {
  if (prefix === '') return path
  if (!covers(prefix, path)) return null
  return path.length === prefix.length ? '/' : path.slice(prefix.length)
}
