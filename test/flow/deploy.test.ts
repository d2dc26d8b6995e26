import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { parseDuration } from '../../src/config/values.ts'
import { systemClock } from '../../src/deps.ts'
import { type LoadedConfig, loadConfig } from '../../src/load.ts'
import { writeKeyPair } from '../../src/record/keys.ts'
import { loadPolicies } from '../../src/reload.ts'
import { gatewaySecret, startFrom, type TestPostern } from '../support/postern.ts'

const deploy = resolve(import.meta.dirname, '../../deploy')
const read = (path: string): string => readFileSync(join(deploy, path), 'utf8')

interface Container {
  readonly name: string
  readonly restartPolicy?: string
  readonly command?: readonly string[]
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[]
  readonly lifecycle: {
    readonly preStop: { readonly exec?: { readonly command: readonly string[] }; readonly sleep?: { readonly seconds: number } }
  }
  readonly securityContext: object
  readonly volumeMounts?: readonly {
    readonly name: string
    readonly mountPath: string
    readonly subPath?: string
    readonly readOnly?: boolean
  }[]
  readonly startupProbe?: Probe
  readonly readinessProbe?: Probe
  readonly livenessProbe?: Probe
}
interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string }
}
interface Volume {
  readonly name: string
  readonly configMap?: { readonly name: string }
  readonly secret?: { readonly secretName: string }
  readonly emptyDir?: { readonly sizeLimit: string }
}
interface Pod {
  readonly terminationGracePeriodSeconds: number
  readonly securityContext: object
  readonly initContainers: readonly Container[]
  readonly containers: readonly Container[]
  readonly volumes: readonly Volume[]
}
interface Resource {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> }
  readonly data?: Readonly<Record<string, string>>
  readonly spec?: { readonly template: { readonly spec: Pod }; readonly ports: readonly { readonly targetPort: string }[] }
}

const manifest = read('kubernetes/postern.yaml')
const resources = parseAllDocuments(manifest).map(document => document.toJS() as Resource)
const resource = (kind: string, name: string): Resource =>
  resources.find(one => one.kind === kind && one.metadata.name === name) ?? expect.fail(`no ${kind} ${name}`)
const pod = resource('Deployment', 'invoices').spec!.template.spec
const sidecar = pod.initContainers.find(one => one.name === 'postern')!
const backend = pod.containers[0]!
const configPath = sidecar.command![sidecar.command!.indexOf('--config') + 1]!

/** Keys of each Secret, as the `kubectl create secret` commands in the manifest's first comment make them. */
const secretKeys = new Map(
  [...manifest.matchAll(/create secret generic (\S+)((?:[\s\\#]+--from-file=\S+)+)/g)].map(([, name, files]) => [
    name,
    [...files!.matchAll(/--from-file=([^\s=]+)/g)].map(([, key]) => key!),
  ]),
)

const standIns = async (dir: string): Promise<Readonly<Record<string, string>>> => {
  const { privateFile } = await writeKeyPair(join(dir, 'made.pem'))
  return {
    proof: `${gatewaySecret}\n`,
    'audit.pem': await readFile(privateFile, 'utf8'),
    username: 'postern_manager\n',
    password: 'not a real one\n',
    'ca.pem': '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n',
  }
}

/** One volume as the kubelet writes it: files are links into a folder that is swapped as a whole. */
const writeVolume = async (at: string, version: string, files: Readonly<Record<string, string>>): Promise<void> => {
  await mkdir(join(at, `..${version}`), { recursive: true })
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(at, `..${version}`, name), text)
    await symlink(join('..data', name), join(at, name)).catch(() => undefined)
  }
  await symlink(`..${version}`, join(at, '..data_tmp'))
  await rename(join(at, '..data_tmp'), join(at, '..data'))
}

/** The file system that the sidecar sees, below a folder of its own. */
const layOut = async (change: (name: string, text: string) => string): Promise<string> => {
  const root = await mkdtemp(join(tmpdir(), 'postern-pod-'))
  const secrets = await standIns(root)
  for (const { name, mountPath } of sidecar.volumeMounts!) {
    const { configMap, secret } = pod.volumes.find(volume => volume.name === name)!
    const data = configMap
      ? Object.entries(resource('ConfigMap', configMap.name).data!).map(([key, text]) => [key, change(key, text)])
      : (secretKeys.get(secret?.secretName ?? '') ?? []).map(key => [key, secrets[key]])
    await mkdir(root + mountPath, { recursive: true })
    if (data.length > 0) await writeVolume(root + mountPath, 'first', Object.fromEntries(data))
  }
  return root
}

const roots: string[] = []
const rooted = async (change: (name: string, text: string) => string = (_, text) => text): Promise<string> => {
  const root = await layOut(change)
  roots.push(root)
  return root
}
afterAll(() => Promise.all(roots.map(root => rm(root, { recursive: true, force: true }))))

let loaded: LoadedConfig
beforeAll(async () => {
  const result = await loadConfig((await rooted()) + configPath)
  if (!('config' in result)) expect.fail(JSON.stringify(result, null, 2))
  loaded = result
})

const portOf = (at: object): number => ('port' in at ? Number(at.port) : 0)
const named = (port: string): number | undefined => sidecar.ports!.find(one => one.name === port)?.containerPort

describe('the Kubernetes manifest', () => {
  it('holds a configuration that loads without a finding, its files laid out as the volumes do', () => {
    expect(loaded.read.source.findings).toEqual([])
    expect(loaded.secrets).toHaveLength(1)
    expect(loaded.config.gateway.proof).toEqual(['shared-secret'])
  })

  it('names files and folders that its volumes have, and writes only where it may', () => {
    const { cassandra, audit, policies, state } = loaded.config
    const inPod = (path: string): string => resolve(dirname(configPath), path)
    const mountOf = (path: string) => sidecar.volumeMounts!.find(({ mountPath }) => `${inPod(path)}/`.startsWith(`${mountPath}/`))
    for (const path of [audit.dir, audit.second!, state!]) {
      const volume = pod.volumes.find(({ name }) => name === mountOf(path)?.name)
      expect(volume, path).toHaveProperty('emptyDir')
      expect(mountOf(path)).not.toHaveProperty('readOnly')
    }
    for (const path of [
      policies.dir,
      audit['key-file'],
      cassandra!['username-file'],
      cassandra!['password-file'],
      cassandra!.tls!['ca-file'],
    ])
      expect(mountOf(path), path).toMatchObject({ readOnly: true })
    expect(mountOf(audit.dir)?.name).not.toBe(mountOf(audit.second!)?.name)
    for (const mount of sidecar.volumeMounts!) expect(mount, 'a subPath is never updated').not.toHaveProperty('subPath')
    for (const { name, secret } of pod.volumes) if (secret) expect(secretKeys.get(secret.secretName), name).toBeDefined()
    const records = pod.volumes.find(({ name }) => name === mountOf(audit.dir)?.name)!
    expect(parseInt(records.emptyDir!.sizeLimit, 10) * 1024 ** 3).toBeGreaterThan(audit['spool-max'])
  })

  it('holds policies that are in force without a finding, all their tests passed', async () => {
    const { composition, findings } = await loadPolicies(loaded, null, { withoutTests: false, clock: systemClock })
    expect(findings).toEqual([])
    expect([...composition!.entries.keys()]).toEqual(['acme'])
    for (const { enforced, onDisk, tested } of composition!.entries.values()) {
      expect(enforced?.digest).toBe(onDisk.digest)
      expect(tested.files.flatMap(file => file.expectations).length).toBeGreaterThan(10)
      for (const host of [onDisk.recognise!.host].flat()) expect(loaded.config.routes.map(route => route.host)).toContain(host)
    }
    const slots = read('cassandra/init.cql')
    expect(composition!.engine.roles.length).toBeGreaterThan(0)
    for (const role of composition!.engine.roles) for (const slot of ['a', 'b']) expect(slots).toContain(`ROLE postern_${role}_${slot} `)
  })

  it('sends the Cassandra login to the backend over loopback only', () => {
    const [upstream] = loaded.config.upstreams.values()
    expect(upstream).toMatchObject({ delivery: 'header', url: { local: true, origin: 'http://127.0.0.1:3000' } })
    expect(backend).toMatchObject({
      env: expect.arrayContaining([
        { name: 'HOST', value: '127.0.0.1' },
        { name: 'PORT', value: '3000' },
      ]),
    })
    expect(backend.volumeMounts, 'secrets and records are none of its business').toBeUndefined()
  })

  it('asks and serves on the ports that the configuration opens, on every address of the pod', () => {
    const { proxy, ops } = loaded.config.listen
    expect([proxy, ops]).toEqual([
      { host: '0.0.0.0', port: named('proxy') },
      { host: '0.0.0.0', port: named('ops') },
    ])
    for (const [probe, path] of [
      [sidecar.startupProbe, '/readyz'],
      [sidecar.readinessProbe, '/readyz'],
      [sidecar.livenessProbe, '/livez'],
    ] as const)
      expect(probe).toMatchObject({ httpGet: { path, port: 'ops' } })
    expect(resource('Service', 'invoices').spec!.ports.map(({ targetPort }) => targetPort)).toEqual(['proxy'])
    const { annotations } = resource('Ingress', 'invoices').metadata
    expect(annotations).toMatchObject({
      'alb.ingress.kubernetes.io/healthcheck-port': String(portOf(ops)),
      'alb.ingress.kubernetes.io/healthcheck-path': '/readyz',
      'alb.ingress.kubernetes.io/scheme': 'internal',
    })
  })

  it('starts Postern before the backend, and gives everything time to end', () => {
    expect(sidecar.restartPolicy).toBe('Always')
    const { exec } = sidecar.lifecycle.preStop
    expect(exec!.command).toEqual([...sidecar.command!.slice(0, 2), 'drain', '--state', resolve(dirname(configPath), loaded.config.state!)])
    const drain = loaded.config.limits['drain-deadline']
    const asleep = backend.lifecycle.preStop.sleep!.seconds * 1000
    const slowest = Math.max(...[...loaded.config.upstreams.values()].map(upstream => upstream.deadline))
    expect(asleep).toBeGreaterThanOrEqual(drain)
    expect(pod.terminationGracePeriodSeconds * 1000).toBeGreaterThan(asleep + slowest + drain)
  })

  it('runs as nobody in particular, with no way to become more', () => {
    expect(pod).toMatchObject({
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    })
    for (const { securityContext } of [...pod.initContainers, ...pod.containers])
      expect(securityContext).toMatchObject({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      })
    expect(resources.map(({ kind }) => kind)).not.toContain('Secret')
  })

  it('starts what the image holds', () => {
    const dockerfile = read('image/Dockerfile')
    expect(JSON.parse(/^ENTRYPOINT (.*)$/m.exec(dockerfile)![1]!)).toEqual(sidecar.command!.slice(0, 2))
    expect(JSON.parse(/^CMD (.*)$/m.exec(dockerfile)![1]!)).toEqual(sidecar.command!.slice(2))
    expect(dockerfile).toMatch(/^USER 65532:65532$/m)
    expect(sidecar.securityContext).toMatchObject({ runAsUser: 65532, runAsGroup: 65532 })
  })
})

type Value = string | { readonly Ref: string }
interface Integration {
  readonly type: string
  readonly connectionType: string
  readonly uri: Value
  readonly timeoutInMillis: number
  readonly requestParameters: Readonly<Record<string, Value>>
}
interface Template {
  readonly Parameters: Readonly<Record<string, { readonly NoEcho?: boolean; readonly Default?: string; readonly AllowedPattern: string }>>
  readonly Resources: {
    readonly Api: {
      readonly Properties: {
        readonly FailOnWarnings: boolean
        readonly Body: { readonly paths: Readonly<Record<string, Readonly<Record<string, Route>>>> }
      }
    }
    readonly Stage: {
      readonly Properties: { readonly AccessLogSettings: { readonly Format: string }; readonly DefaultRouteSettings: object }
    }
  }
}
interface Route {
  readonly 'x-amazon-apigateway-integration': Integration
}

const templateText = read('api-gateway/template.yaml')
const template = parse(templateText) as Template
const paths = Object.entries(template.Resources.Api.Properties.Body.paths)
const integrations = paths.flatMap(([, methods]) => Object.values(methods).map(route => route['x-amazon-apigateway-integration']))

describe('the API Gateway document', () => {
  it('sends every path and method to Postern over the VPC link', () => {
    expect(paths.map(([path, methods]) => [path, Object.keys(methods)])).toEqual([['/$default', ['x-amazon-apigateway-any-method']]])
    expect(integrations[0]).toMatchObject({ type: 'http_proxy', connectionType: 'VPC_LINK', uri: { Ref: 'ListenerArn' } })
    expect(template.Resources.Api.Properties.FailOnWarnings).toBe(true)
  })

  it('overwrites the four fields and the path, and appends nothing', () => {
    for (const { requestParameters } of integrations) {
      expect(requestParameters).toEqual({
        'overwrite:header.x-postern-gateway-proof': { Ref: 'GatewayProof' },
        'overwrite:header.x-postern-client-ip': '$context.identity.sourceIp',
        'overwrite:header.x-postern-host': '$context.domainName',
        'overwrite:header.x-postern-gateway-request-id': '$context.extendedRequestId',
        'overwrite:path': '$request.path',
      })
    }
  })

  it('takes the proof as a parameter that is not echoed, and uses it once', () => {
    const { NoEcho, Default, AllowedPattern } = template.Parameters['GatewayProof']!
    expect([NoEcho, Default]).toEqual([true, undefined])
    const allowed = new RegExp(`^(?:${AllowedPattern})$`)
    expect(allowed.test('0123456789abcdef'.repeat(4))).toBe(true)
    for (const bad of ['short', `$context.path${'x'.repeat(60)}`, `a,${'x'.repeat(60)}`]) expect(allowed.test(bad)).toBe(false)
    expect(templateText.match(/Ref: GatewayProof\b|\{GatewayProof\}/g)).toHaveLength(1)
  })

  it('logs no field of a request, and waits longer than Postern does', () => {
    const { AccessLogSettings, DefaultRouteSettings } = template.Resources.Stage.Properties
    const format = JSON.parse(AccessLogSettings.Format) as Record<string, string>
    expect(Object.values(format).filter(value => !/^\$context\.[A-Za-z.]+$/.test(value))).toEqual([])
    expect(AccessLogSettings.Format).not.toMatch(/header|proof|authorizer/i)
    expect(format['request_id']).toBe('$context.extendedRequestId')
    expect(DefaultRouteSettings).not.toHaveProperty('DataTraceEnabled', true)
    for (const { timeoutInMillis } of integrations)
      for (const upstream of loaded.config.upstreams.values())
        expect(timeoutInMillis).toBeGreaterThanOrEqual(upstream.deadline + (parseDuration('1s') ?? 0))
  })
})

describe('the pod, with the gateway in front', () => {
  let postern: TestPostern
  let root: string
  // Ports of its own, and nobody outside this machine to ask.
  const local = (name: string, text: string): string => {
    const alone = text.replaceAll('https://login.example.com/', 'http://127.0.0.1:9')
    if (name !== 'proxy.config.yaml') return alone
    return alone
      .replace(/0\.0\.0\.0:\d+/g, '127.0.0.1:0')
      .replace(/contact-points: \[.*\]/, 'contact-points: ["127.0.0.1:9"]')
      .replace(/( +)audiences:/, '$1allow-http-loopback: true\n$&')
  }
  beforeAll(async () => {
    root = await rooted(local)
    const started = await startFrom(root + configPath)
    if (!('app' in started)) expect.fail(JSON.stringify(started, null, 2))
    postern = started
  })
  afterAll(() => postern.stop())

  const readyz = (): Promise<{ status: number; body: { tenants: { state: string; digestEnforced: string }[] } }> =>
    new Promise((done, failed) => {
      get({ host: '127.0.0.1', port: postern.opsPort, path: '/readyz', agent: false }, res => {
        let text = ''
        res.on('data', (chunk: Buffer) => {
          text += chunk.toString()
        })
        res.on('end', () => done({ status: res.statusCode ?? 0, body: JSON.parse(text) }))
      }).on('error', failed)
    })

  it('is ready, though neither provider nor cluster answers', async () => {
    expect(await readyz()).toMatchObject({ status: 200, body: { ready: true, tenants: [{ tenant: 'acme', state: 'enforced' }] } })
  })

  const context: Readonly<Record<string, string>> = {
    '$context.identity.sourceIp': '203.0.113.9',
    '$context.domainName': 'acme.api.example.com',
    '$context.extendedRequestId': 'JKJaXmPLvHcESHA=',
  }
  /** What the gateway makes of a client's request: `overwrite` leaves one value, its own. */
  const mapped = (client: Readonly<Record<string, string>>): Record<string, string> => {
    const headers: Record<string, string> = { ...client, 'x-postern-host': 'internal-lb.example.com' }
    for (const [key, value] of Object.entries(integrations[0]!.requestParameters))
      if (key.startsWith('overwrite:header.'))
        headers[key.slice('overwrite:header.'.length)] = typeof value === 'string' ? context[value]! : gatewaySecret
    return headers
  }

  it('believes what the document maps, whatever the client wrote under these names', async () => {
    const forged = { 'x-postern-client-ip': '10.0.0.1', 'x-postern-gateway-proof': 'guess', 'x-postern-gateway-request-id': 'mine' }
    const reply = await postern.call('/v1/invoices', { proof: null, headers: mapped(forged) })
    expect(reply).toMatchObject({
      status: 401,
      headers: { 'www-authenticate': 'Bearer', 'x-postern-gateway-request-id': 'JKJaXmPLvHcESHA=' },
    })
    const exchange = () => postern.records().findLast(record => record['kind'] === 'exchange')
    await expect.poll(exchange).toMatchObject({
      gateway: { proof: ['shared-secret'], 'request-id': 'JKJaXmPLvHcESHA=' },
      request: { host: 'acme.api.example.com', route: 'acme', path: '/v1/invoices', 'client-ip': '203.0.113.9' },
    })
  })

  it('refuses who comes past the gateway', async () => {
    expect(await postern.call('/v1/invoices', { proof: null, host: 'acme.api.example.com' })).toMatchObject({ status: 403 })
  })

  it('brings a changed policy into force when the link of its folder is swapped', async () => {
    const before = (await readyz()).body.tenants[0]!.digestEnforced
    const files = Object.entries(resource('ConfigMap', 'postern-policies').data!).map(([name, text]) => [name, local(name, text)])
    const next = { ...Object.fromEntries(files), 'acme.policy.yaml': `${Object.fromEntries(files)['acme.policy.yaml']}# changed\n` }
    await writeVolume(`${root}/postern/policies`, 'second', next)
    await rm(`${root}/postern/policies/..first`, { recursive: true })
    await expect.poll(async () => (await readyz()).body.tenants[0]!.digestEnforced, { timeout: 15_000 }).not.toBe(before)
    expect(await readyz()).toMatchObject({ status: 200, body: { tenants: [{ state: 'enforced' }] } })
  })
})
