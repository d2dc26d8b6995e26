import { bad, fail, record, required, type Shape } from '../../config/shape.ts'
import { instant } from './moment.ts'

const observing = record({ 'observe-until': required(instant, 'Write the moment from which the tenant is enforced, within 30 days.') })

/** Reads the top-level `mode`: the moment until which refusals by the tenant's own rules only are recorded; null: never. */
export const modeShape: Shape<number | null> = {
  schema: { anyOf: [{ const: 'enforce' }, observing.schema] },
  read(node, at) {
    if (node.kind === 'scalar' && node.value === 'enforce') return null
    if (node.kind !== 'map')
      return fail(at, node, 204, 'mode is enforce, or a map: mode: { observe-until: 2026-11-30T00:00:00Z }. Write one of them.')
    const value = observing.read(node, at)
    return value === bad ? bad : value['observe-until']
  },
}
