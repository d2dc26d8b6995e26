import {
  type Context,
  fail,
  list,
  notBuilt,
  optional,
  parsed,
  type RecordOf,
  record,
  required,
  type Shape,
  text,
  Wrong,
} from '../config/shape.ts'
import type { Node } from '../config/source.ts'
import { hostName, path } from '../config/values.ts'

/** Where the driver first connects. One port for all: it is also the port on which every discovered node is tried. */
export interface ContactPoints {
  readonly hosts: readonly string[]
  readonly port: number
}

const contactPoint = parsed('a host name or address, with or without a port, such as 10.0.0.5:9042', value => {
  const found = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+))(?::(\d{1,5}))?$/.exec(value)
  const port = Number(found?.[3] ?? 9042)
  if (!found || port < 1 || port > 65_535) return new Wrong(`"${value}" is not a contact point; write a host and a port: 10.0.0.5:9042.`)
  return { host: found[1] ?? found[2] ?? '', port }
})

const contactPoints: Shape<ContactPoints> = {
  schema: list(contactPoint, { min: 1, max: 32 }).schema,
  format: ({ hosts, port }) => hosts.map(host => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`)),
  read(node: Node, at: Context) {
    const points = list(contactPoint, { min: 1, max: 32 }).read(node, at)
    if (typeof points === 'symbol') return points
    const [first] = points
    const port = first?.port ?? 9042
    if (points.some(point => point.port !== port))
      return fail(at, node, 204, 'the contact points name different ports; the driver uses one port for every node. Write the same one.')
    return { hosts: points.map(point => point.host), port }
  },
}

const name = (what: string): Shape<string> =>
  text(what, value =>
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(value) ? null : `"${value}" is not ${what}; write letters, digits, ".", "_" and "-".`,
  )

/** `cassandra:` of contract 1: where the cluster is, and who Postern itself is there. */
export const cassandraShape = record({
  'contact-points': required(contactPoints, 'Nodes to connect to first, all on one port (default 9042).', { restart: true }),
  'local-data-center': required(name('a data centre name'), 'The data centre of this sidecar, as the cluster spells it.', {
    restart: true,
  }),
  'username-file': required(path('a file path'), 'File with the name of the manager role: never a superuser.', { restart: true }),
  'password-file': required(path('a file path'), "File with the manager's password.", { restart: true }),
  tls: optional<TlsSettings | null>(
    record({
      'ca-file': required(
        path('a file path'),
        'PEM certificates that the cluster is verified against. There is no way to switch verification off.',
      ),
      'server-name': optional<string | null>(hostName(), null, 'Name in the certificate of the nodes. Default: the address connected to.'),
      'cert-file': notBuilt('Client certificate.'),
      'key-file': notBuilt('Key of the client certificate.'),
    }),
    null,
    'TLS to the cluster. Absent: plain TCP.',
    { restart: true },
  ),
  group: optional(name('a group name'), 'default', 'This deployable: its sidecars share manager, leases and generations.', {
    restart: true,
  }),
  'key-files': optional<readonly string[]>(
    list(path('a file path'), { max: 2 }),
    [],
    'Files with 32 random bytes in hex or base64, the same for every sidecar of the group. With them credentials are shared: one rotation for all, and a restart hands out what is current. The first encrypts, both decrypt: a new key second everywhere, then first.',
    { restart: true },
  ),
})

export interface TlsSettings {
  readonly 'ca-file': string
  readonly 'server-name': string | null
}
export type CassandraSettings = RecordOf<typeof cassandraShape.fields>
