import { deliveries } from './credentials/delivery.ts'
import type { Credential, Unavailable } from './model/credential.ts'
import type { Clock } from './model/deps.ts'
import type { Snapshot } from './snapshot.ts'
import { createHop, type Hop, type UpstreamPlan } from './upstream/hop.ts'

export interface Hops {
  hop(plan: UpstreamPlan): Hop
  deliver(plan: UpstreamPlan, credential: Credential): readonly string[] | Unavailable
  isSafeHop(peer: string): boolean
  /** Closes the pools of plans that no live snapshot has. */
  retain(live: Snapshot): void
  close(): Promise<void>
}

/** Pools by plan: they outlive a reload that did not touch their upstream. */
export const createHops = (clock: Clock): Hops => {
  const open = new Map<UpstreamPlan, Hop>()
  const { isSafeHop } = deliveries.header
  return {
    hop(plan) {
      const known = open.get(plan)
      if (known) return known
      const hop = createHop(plan, { clock }, isSafeHop)
      open.set(plan, hop)
      return hop
    },
    deliver: (plan, credential) => (plan.settings.delivery === 'none' ? [] : deliveries[plan.settings.delivery].deliver(credential)),
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
