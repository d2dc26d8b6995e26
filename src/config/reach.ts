import { type AddressKey, addressKey, addressSet, parseRange } from './address.ts'
import { Wrong } from './shape.ts'
import { isLoopback } from './values.ts'

/**
 * Where a call may go. `loopback`: this machine. `public`: addresses of the internet, as IANA's special-purpose registries (RFC 6890) leave them.
 * `private`: also those of private networks and of this machine. None reaches link-local addresses: no provider has one, the metadata
 * service of the cloud does, with credentials (T22).
 */
export type Reach = 'loopback' | 'public' | 'private'

const setOf = (...texts: readonly string[]): ((key: AddressKey) => boolean) =>
  addressSet(
    texts.map(text => {
      const range = parseRange(text)
      if (range instanceof Wrong) throw new Error(range.message)
      return range
    }),
  )

const nowhere = setOf('0.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3', '::', 'fe80::/10', 'ff00::/8', 'fd00:ec2::/32')

const special = setOf(
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  // All of IPv6 but 2000::/3, which alone is given out.
  '::/3',
  '4000::/2',
  '8000::/1',
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  '3fff::/20',
)

/** 64:ff9b::/96 (RFC 6052): an IPv4 address as networks without IPv4 write it. */
const nat64 = String.fromCharCode(0x64, 0xff9b, 0, 0, 0, 0)

/** Whether an address in text may be connected to. Anything that is not exactly one address may not. */
export const isWithinReach = (address: string, reach: Reach): boolean => {
  if (reach === 'loopback') return isLoopback(address)
  const whole = addressKey(address)
  if (whole === null) return false
  const key = whole.startsWith(nat64) ? whole.slice(nat64.length) : whole
  return !nowhere(key) && (reach === 'private' || !special(key))
}
