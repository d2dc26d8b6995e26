import { createDeliveries } from './credentials/delivery.ts'
import type { Sealer } from './credentials/seal.ts'
import { type LoadedConfig, sealerOf } from './load.ts'
import type { Credential, Unavailable } from './model/credential.ts'
import type { Clock } from './model/deps.ts'
import type { Snapshot } from './snapshot.ts'
import { createHop, type Hop, type IsSafeHop, type UpstreamPlan } from './upstream/hop.ts'

type Shown = readonly string[] | Unavailable

export interface Hops {
  hop(plan: UpstreamPlan): Hop
  /** The fields that show a backend its credential; a promise where they must be made first. */
  deliver(plan: UpstreamPlan, credential: Credential): Shown | Promise<Shown>
  isSafeHop: IsSafeHop
  /** Whose key signs from now on. */
  follow(loaded: LoadedConfig): void
  /** Closes the pools of plans that no live snapshot has. */
  retain(live: Snapshot): void
  close(): Promise<void>
}

/** Pools by plan: they outlive a reload that did not touch their upstream. */
export const createHops = (clock: Clock): Hops => {
  const open = new Map<UpstreamPlan, Hop>()
  let sealer: Sealer | null = null
  const deliveries = createDeliveries({ now: () => clock.now(), sealer: () => sealer })
  const isSafeHop: IsSafeHop = ({ settings: { delivery } }, peer, encrypted) =>
    delivery !== 'none' && deliveries[delivery].isSafeHop(peer, encrypted)
  return {
    hop(plan) {
      const known = open.get(plan)
      if (known) return known
      const hop = createHop(plan, { clock }, isSafeHop)
      open.set(plan, hop)
      return hop
    },
    deliver: ({ name, recipient, settings: { delivery } }, credential) =>
      delivery === 'none' ? [] : deliveries[delivery].deliver(credential, { name, key: recipient }),
    follow(loaded) {
      sealer = sealerOf(loaded)
    },
    isSafeHop,
    retain(live) {
      const plans = new Set(live.upstreams.values())
      for (const [plan, hop] of open)
        if (!plans.has(plan)) {
          open.delete(plan)
          void hop.close()
        }
    },
    async close() {
      await Promise.all([...open.values()].map(hop => hop.close()))
      open.clear()
    },
  }
}
