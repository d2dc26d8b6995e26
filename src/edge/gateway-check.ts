import type { GatewaySettings, ListenSettings } from './settings.ts'

interface GatewayProblem {
  /** Of the configuration. */
  readonly key: string
  readonly number: number
  readonly message: string
}

/** Where proofs and what they need do not fit: a proof without its means, and means that a reader would take for a proof. */
export const gatewayProblems = (gateway: GatewaySettings, listen: ListenSettings): readonly GatewayProblem[] => {
  const { proof } = gateway
  const problems: GatewayProblem[] = []
  const check = (wrong: boolean, key: string, number: number, message: string): void => {
    if (wrong) problems.push({ key, number, message })
  }
  const bySecret = proof.includes('shared-secret')
  const byCertificate = proof.includes('client-certificate')
  const bySource = proof.includes('source-range')
  const pins = gateway['client-certificate-pins'].length > 0
  const authority = listen.tls !== null && listen.tls['client-ca-file'] !== null
  const ranges = gateway['source-ranges'].length > 0
  const direct = proof.includes('none-accept-direct-traffic')
  check(
    bySecret && gateway['secret-files'].length === 0,
    'gateway.proof',
    202,
    'shared-secret needs secret-files: [path]. Write at least one file with 32 random bytes or more.',
  )
  check(byCertificate && listen.tls === null, 'gateway.proof', 202, 'client-certificate needs listen.tls with cert-file and key-file.')
  check(
    byCertificate && listen.tls !== null && !pins && !authority,
    'gateway.proof',
    202,
    'client-certificate needs client-certificate-pins, or listen.tls.client-ca-file: a certificate alone proves nothing.',
  )
  check(
    gateway['secret-files'].length > 0 && !bySecret && !direct,
    'gateway.secret-files',
    204,
    'the secrets are not looked at. Write shared-secret in proof, or remove them.',
  )
  check(pins && !byCertificate, 'gateway.client-certificate-pins', 204, 'pins are not looked at. Write client-certificate in proof.')
  check(authority && !byCertificate, 'listen.tls.client-ca-file', 204, 'it is not looked at. Write client-certificate in gateway.proof.')
  check(bySource && !ranges, 'gateway.proof', 202, 'source-range needs source-ranges: [10.0.1.0/24].')
  check(ranges && !bySource, 'gateway.source-ranges', 204, 'the ranges are not looked at. Write source-range in proof.')
  check(
    bySource && 'path' in listen.proxy,
    'gateway.proof',
    204,
    'a UNIX socket has no source address. Remove source-range, or listen on an address.',
  )
  check(
    gateway['caller-certificate'] === 'header' && direct,
    'gateway.caller-certificate',
    204,
    'without proof of the gateway anyone could write x-postern-client-cert. Remove caller-certificate, or write proof: [shared-secret].',
  )
  const { from, hops } = gateway['client-ip']
  check(
    direct && from !== 'x-postern-client-ip',
    'gateway.client-ip',
    204,
    'without proof of the gateway the address is that of the connection. Remove client-ip.',
  )
  check(hops > 1 && from === 'x-postern-client-ip', 'gateway.client-ip.hops', 204, 'x-postern-client-ip holds one address. Remove hops.')
  return problems
}
