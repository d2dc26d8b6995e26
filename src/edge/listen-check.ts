import { type Endpoint, formatEndpoint } from '../config/values.ts'

/** Listeners that were given one address, in the order of `listeners`. Port 0 is another port each time. */
export const listenProblems = (
  listeners: ReadonlyArray<readonly [key: string, at: Endpoint | undefined]>,
): ReadonlyArray<{ readonly key: string; readonly number: number; readonly message: string }> => {
  const first = new Map<string, string>()
  return listeners.flatMap(([key, at]) => {
    if (at === undefined || ('port' in at && at.port === 0)) return []
    const address = formatEndpoint(at)
    const other = first.get(address)
    if (other === undefined) {
      first.set(address, key)
      return []
    }
    return [{ key, number: 204, message: `${address} is the address of ${other}, too. Write another port or socket.` }]
  })
}
