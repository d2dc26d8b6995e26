import { choice, list, optional, type RecordOf, record, required, text } from '../config/shape.ts'
import { type Endpoint, endpoint } from '../config/values.ts'
import { clientIpShape, sourceRange } from './settings.ts'

/** `decide:` of the configuration. */
export const decideShape = record({
  listen: required<Endpoint>(endpoint, 'Where other proxies ask: GET /decide, plain HTTP. An address and port, or unix:/path.', {
    restart: true,
  }),
  peers: optional(
    list(sourceRange, { max: 64 }),
    [],
    'Addresses of the proxies that may ask. Needed on an address; whoever may open a UNIX socket may ask there.',
  ),
  original: required(
    choice(['x-forwarded', 'x-original-url', 'x-original-uri', 'path']),
    'How they tell the original request. x-forwarded: X-Forwarded-Method, -Host and -Uri (Traefik, Caddy). x-original-url: X-Original-Method and an absolute X-Original-URL; x-original-uri: X-Original-Method, X-Original-URI and Host (nginx). path: method, Host and what follows /decide (Envoy).',
  ),
  fields: optional<readonly string[] | null>(
    list(
      text('a field name', name =>
        /^[a-z0-9-]{1,64}$/.test(name) ? null : `"${name}" is not a field name; write it in lower case: x-mode.`,
      ),
      { max: 256 },
    ),
    null,
    'Fields of the original request that they show, if not all: where a policy reads another one, the answer is no. Default: all; with original: path none.',
  ),
  'client-ip': optional<RecordOf<typeof clientIpShape.fields> | null>(
    clientIpShape,
    null,
    "The field in which they tell their client's address; they must write it on every question. Default: unknown.",
  ),
  'caller-certificate': optional(
    choice(['none', 'header']),
    'none',
    "header: they write their client's certificate, percent-encoded PEM, into x-postern-client-cert; certificate-bound tokens need it.",
  ),
})

export type DecideSettings = RecordOf<typeof decideShape.fields>

interface DecideProblem {
  /** Of the configuration. */
  readonly key: string
  readonly number: number
  readonly message: string
}

/** Where who may ask and where they ask do not fit. */
export const decideProblems = (decide: DecideSettings | null): readonly DecideProblem[] => {
  if (decide === null) return []
  const problems: DecideProblem[] = []
  const socket = 'path' in decide.listen
  if (!socket && decide.peers.length === 0)
    problems.push({ key: 'decide', number: 202, message: 'decide needs peers: [10.0.1.0/24], the addresses of the proxies that may ask.' })
  if (socket && decide.peers.length > 0)
    problems.push({
      key: 'decide.peers',
      number: 204,
      message: 'a UNIX socket has no source address. Remove peers, or listen on an address.',
    })
  const ip = decide['client-ip']
  if (ip !== null && ip.hops > 1 && ip.from === 'x-postern-client-ip')
    problems.push({ key: 'decide.client-ip.hops', number: 204, message: 'x-postern-client-ip holds one address. Remove hops.' })
  return problems
}
