import { finish } from '../../config/steps.ts'
import type { RouteLine } from '../language/pattern.ts'
import type { RouteIndex } from './route-index.ts'
import { RouteTree } from './route-tree.ts'

/** The index of a few rules of one effect, each by its lines alone. */
export const routeIndex = (rules: readonly (readonly RouteLine[])[], effect: RouteIndex['effect']): RouteIndex => {
  const tree = new RouteTree()
  for (const to of rules) tree.add({ effect, to, who: [] })
  return { effect, table: finish(tree.table()) }
}
