/**
 * What happens to a request field at the edge, by lower-case name. `drop`: hop-by-hop, or a copy of something that only Postern or the
 * gateway may say. The other words name fields that the edge reads itself.
 */
export type FieldRole =
  | 'drop'
  | 'host'
  | 'authorization'
  | 'dpop'
  | 'content-length'
  | 'transfer-encoding'
  | 'connection'
  | 'upgrade'
  | 'expect'
  | 'user-agent'
  | 'gateway-proof'
  | 'gateway-client-ip'
  | 'gateway-host'
  | 'gateway-request-id'
  | 'gateway-client-cert'
  | 'forwarded'
  | 'x-forwarded-for'

const roles = new Map<string, FieldRole>([
  ['host', 'host'],
  ['authorization', 'authorization'],
  ['dpop', 'dpop'],
  ['content-length', 'content-length'],
  ['transfer-encoding', 'transfer-encoding'],
  ['connection', 'connection'],
  ['upgrade', 'upgrade'],
  ['expect', 'expect'],
  ['user-agent', 'user-agent'],
  ['x-postern-gateway-proof', 'gateway-proof'],
  ['x-postern-client-ip', 'gateway-client-ip'],
  ['x-postern-host', 'gateway-host'],
  ['x-postern-gateway-request-id', 'gateway-request-id'],
  ['x-postern-client-cert', 'gateway-client-cert'],
  ['forwarded', 'forwarded'],
  ['x-forwarded-for', 'x-forwarded-for'],
])

/** RFC 9110 section 7.6.1. */
const hopByHop = ['keep-alive', 'proxy-connection', 'te', 'trailer', 'proxy-authenticate', 'proxy-authorization', 'http2-settings']

/** Identity, forwarding and override fields that frameworks believe. Each one was an advisory somewhere (T11, T12, T14). */
const claimed = [
  'x-forwarded',
  'x-real-ip',
  'x-client-ip',
  'x-cluster-client-ip',
  'true-client-ip',
  'cf-connecting-ip',
  'fastly-client-ip',
  'x-remote-user',
  'remote-user',
  'x-original-url',
  'x-original-uri',
  'x-original-host',
  'x-rewrite-url',
  'x-envoy-original-path',
  'x-host',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-original-method',
  'client-ip',
  'wl-proxy-client-ip',
  'x-webauth-user',
  'cf-access-jwt-assertion',
  'cf-access-authenticated-user-email',
  'ssl-client-cert',
  'x-ssl-client-cert',
  'x-client-cert',
  'x-arr-clientcert',
  // CGI reads it as HTTP_PROXY and sends its own requests there (httpoxy, CVE-2016-5385).
  'proxy',
]
for (const name of [...hopByHop, ...claimed]) roles.set(name, 'drop')

const claimedPrefixes = [
  'x-postern-',
  'x-forwarded-',
  'x-auth-request-',
  'x-amzn-oidc-',
  'x-goog-authenticated-',
  'x-goog-iap-',
  'x-ms-client-principal',
  'x-amzn-mtls-',
  'x-consumer-',
  'x-ssl-client-',
  'x-original-forwarded-',
]

const isClaimed = (name: string): boolean => claimedPrefixes.some(prefix => name.startsWith(prefix)) || claimed.includes(name)

/**
 * The role of a field, or null for one that simply goes upstream. A name with `_` never passes: CGI and WSGI read it as `-`. Other
 * punctuation that some server folds to `-` is judged in its folded spelling.
 */
export const fieldRole = (name: string): FieldRole | null => {
  const role = roles.get(name)
  if (role !== undefined) return role
  let odd = false
  for (let i = 0; i < name.length; i++) {
    const c = name.charCodeAt(i)
    if (c === 0x5f) return 'drop'
    if (c !== 0x2d && (c < 0x30 || (c > 0x39 && c < 0x61) || c > 0x7a)) odd = true
  }
  if (odd) return isClaimed(name.replace(/[^a-z0-9]/g, '-')) ? 'drop' : null
  const first = name.charCodeAt(0)
  return first === 0x78 && isClaimed(name) ? 'drop' : null
}

/** Names that a `Connection` field may not nominate: dropping them would undo what the edge or the pipeline adds (T13). */
export const mayBeNominated = (name: string): boolean => {
  const role = roles.get(name)
  if (role === undefined) return !isClaimed(name) && name !== 'cookie' && name !== 'via'
  return role === 'upgrade' || (role === 'drop' && hopByHop.includes(name))
}
