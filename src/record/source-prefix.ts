import { isIP } from 'node:net'

/** /24 of an IPv4 and /64 of an IPv6 address: what one sender commonly has to himself. */
export const sourcePrefix = (ip: string | null): string => {
  const version = ip === null ? 0 : isIP(ip)
  if (ip === null || version === 0) return 'unknown'
  if (version === 4) return `${ip.slice(0, ip.lastIndexOf('.'))}.0/24`
  const [head = '', tail = ''] = ip.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === '' ? [] : tail.split(':')
  const zeros = ip.includes('::') ? Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => '0') : []
  const groups = [...left, ...zeros, ...right].slice(0, 4)
  return `${groups.map(group => group.replace(/^0+(?=.)/, '').toLowerCase()).join(':')}::/64`
}
