import type { HidePath } from '../../model/obligation.ts'

/** Where one or more paths stand at a value of the reply. */
export interface Place {
  readonly members: Map<string, Place>
  each: Place | null
  /** The member that leads here goes. */
  cut: boolean
}

export interface Paths {
  readonly root: readonly Place[]
  /** Names that go wherever they stand. */
  readonly anywhere: ReadonlySet<string>
}

export const nowhere: readonly Place[] = []

const place = (): Place => ({ members: new Map(), each: null, cut: false })

/** All paths at once, as a tree of their steps. */
export const compilePaths = (paths: readonly HidePath[]): Paths => {
  const root = place()
  const anywhere = new Set<string>()
  for (const { steps } of paths) {
    let at = root
    for (const step of steps) {
      if (step.kind === 'anywhere') anywhere.add(step.name)
      else if (step.kind === 'each') at = at.each ??= place()
      else {
        const below = at.members.get(step.name) ?? place()
        at.members.set(step.name, below)
        at = below
      }
    }
    if (at !== root) at.cut = true
  }
  return { root: [root], anywhere }
}

/** Where the paths stand at a member of this name. */
export const below = (places: readonly Place[], name: string): readonly Place[] => {
  if (places.length === 0) return nowhere
  const found: Place[] = []
  for (const { members, each } of places) {
    const member = members.get(name)
    if (member) found.push(member)
    if (each) found.push(each)
  }
  return found
}

/** Where the paths stand at the elements of an array. */
export const elements = (places: readonly Place[]): readonly Place[] =>
  places.length === 0 ? nowhere : places.flatMap(({ each }) => each ?? [])
