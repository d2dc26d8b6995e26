import { describe, expect, it } from 'vitest'
import { createMetrics, type MetricSources } from '../../../src/record/metrics.ts'
import { testAudit } from '../../support/audit-kit.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const clock = new ManualClock()
const none: MetricSources = {
  audit: () => null,
  policies: () => [],
  observing: () => [],
  lastGoodLoad: () => null,
  credentials: () => [],
  keys: () => [],
  tokenCache: () => null,
  proofs: () => 0,
  inFlight: () => 0,
  rateBuckets: () => 0,
  hideBytes: () => 0,
  revocation: () => null,
  streams: () => 0,
  directTraffic: () => false,
  gatewayCertificates: () => [{ pin: 'p', notAfter: 4_000_000_000_000 }],
}
const create = (sources: Partial<MetricSources> = {}, runtime = false) =>
  createMetrics({ version: '1.2.3', clock, runtime, sources: { ...none, ...sources } })
const lines = async (metrics: ReturnType<typeof create>): Promise<string[]> => (await metrics.render()).body.split('\n')

describe('metrics', () => {
  it('show which tenants are not as on disk, even among more than are listed one by one, and the age of the last good load', async () => {
    const state = (tenant: string, digestOnDisk: string) =>
      ({ tenant, state: digestOnDisk === 'a' ? 'enforced' : 'rolled-back', digestEnforced: 'a', digestOnDisk }) as const
    const policies = [...Array.from({ length: 300 }, (_, i) => state(`t${i}`, 'a')), state('last', 'b')]
    const found = await lines(
      create({ policies: () => policies, observing: () => [{ tenant: 't1', until: 0 }], lastGoodLoad: () => clock.now() - 1500 }),
    )
    expect(found).toEqual(
      expect.arrayContaining([
        'postern_policy_info{tenant="last",state="rolled-back",digest="a"} 1',
        'postern_policy_tenants{state="enforced"} 300',
        'postern_policy_tenants{state="rolled-back"} 1',
        'postern_policy_tenants{state="stale"} 0',
        'postern_policy_digest_differs 1',
        'postern_policy_observing{tenant="t1"} 1',
        'postern_policy_last_good_load_age_seconds 1.5',
      ]),
    )
    expect(found.filter(line => line.startsWith('postern_policy_info{'))).toHaveLength(256)
  })

  it('count exchanges in cumulative buckets that end above the 29 s of the gateway', async () => {
    const metrics = create()
    for (const ms of [1, 5, 6, 400, 28_999, 40_000]) metrics.exchange('orders', 'GET', 200, ms)
    const labels = 'http_route="orders",http_request_method="GET",http_response_status_code="200"'
    const found = (await lines(metrics)).filter(line => line.startsWith('http_server_request_duration_seconds'))
    const bucket = (le: string, n: number): string => `http_server_request_duration_seconds_bucket{le="${le}",${labels}} ${n}`
    expect(found).toEqual(
      expect.arrayContaining([bucket('0.005', 2), bucket('0.01', 3), bucket('0.5', 4), bucket('29', 5), bucket('+Inf', 6)]),
    )
    expect(found).toContain(`http_server_request_duration_seconds_count{${labels}} 6`)
    expect(found).toContain(`http_server_request_duration_seconds_sum{${labels}} 69.411`)
  })

  it('count decisions, refusals with their reason, tokens, proofs, upstreams, rotations, reloads and shed requests', async () => {
    const metrics = create()
    metrics.decision('acme', 'allow', 'read', 'enforce')
    metrics.decision('acme', 'allow', 'read', 'enforce')
    metrics.decision(null, 'deny', 'default', 'enforce')
    metrics.refusal('PST3007')
    metrics.token('https://idp/', 'valid')
    metrics.token(null, 'malformed')
    metrics.proof('shared-secret', 'missing')
    metrics.upstream('orders', '2xx')
    metrics.rotation('orders_read', 'done')
    metrics.reload('policy', 'refused')
    metrics.shed('in-flight')
    metrics.limited('acme', 'caller')
    expect(await lines(metrics)).toEqual(
      expect.arrayContaining([
        'postern_decisions_total{tenant="acme",effect="allow",rule="read",mode="enforce"} 2',
        'postern_decisions_total{tenant="_none",effect="deny",rule="default",mode="enforce"} 1',
        'postern_refusals_total{code="PST3007",reason="token-expired"} 1',
        'postern_token_validation_total{issuer="https://idp/",result="valid"} 1',
        'postern_token_validation_total{issuer="_none",result="malformed"} 1',
        'postern_gateway_proof_total{proof="shared-secret",result="missing"} 1',
        'postern_upstream_requests_total{upstream="orders",result="2xx"} 1',
        'postern_credential_rotations_total{role="orders_read",result="done"} 1',
        'postern_reloads_total{kind="policy",result="refused"} 1',
        'postern_limits_shed_total{reason="in-flight"} 1',
        'postern_limits_refused_total{tenant="acme",per="caller"} 1',
      ]),
    )
  })

  it('read at each scrape what others know', async () => {
    const { audit } = await testAudit()
    await audit.idle()
    const metrics = create({
      audit: () => audit.status(),
      policies: () => [{ tenant: 'acme', state: 'stale', digestEnforced: 'd1', digestOnDisk: 'd2' }],
      credentials: () => [
        {
          role: 'r',
          generation: 4,
          slot: 's',
          state: 'degraded',
          notAfter: 5000,
          nextAt: 4000,
          onPrevious: 2,
          cutEnds: 'logins',
          holder: '',
          detail: '',
        },
      ],
      keys: () => [
        { issuer: 'i', fetchedAt: clock.now() - 3000 },
        { issuer: 'never', fetchedAt: null },
      ],
      tokenCache: () => ({ entries: 7, bytes: 900 }),
      inFlight: () => 3,
      rateBuckets: () => 11,
      hideBytes: () => 4096,
      directTraffic: () => true,
    })
    expect(await lines(metrics)).toEqual(
      expect.arrayContaining([
        `postern_build_info{version="1.2.3",node="${process.version}"} 1`,
        'postern_policy_info{tenant="acme",state="stale",digest="d1"} 1',
        'postern_credential_generation{role="r"} 4',
        'postern_credential_expiry_timestamp_seconds{role="r"} 5',
        'postern_jwks_age_seconds{issuer="i"} 3',
        'postern_token_cache_entries 7',
        'postern_limits_in_flight 3',
        'postern_limits_buckets 11',
        'postern_limits_hide_bytes 4096',
        'postern_unproved_direct_traffic 1',
        'postern_audit_records_total{kind="process-start"} 1',
        'postern_audit_ready 1',
        'postern_audit_lost_total 0',
        'postern_audit_sink_up{sink="file"} 1',
        'postern_audit_second_place_up 1',
        expect.stringMatching(/^postern_audit_spool_bytes [1-9]\d+$/),
        expect.stringMatching(/^postern_audit_last_checkpoint_timestamp_seconds [1-9]/),
      ]),
    )
  })

  it('have bounded labels: what is above a bound is counted under _other', async () => {
    const metrics = create()
    for (let i = 0; i < 2000; i++) metrics.decision(`tenant-${i}`, 'allow', 'r', 'enforce')
    for (let i = 0; i < 2000; i++) metrics.decision('tenant-0', 'allow', `rule-${i}`, 'enforce')
    for (let i = 0; i < 900; i++) metrics.exchange('orders', 'GET', 100 + i, 1)
    for (let i = 0; i < 50; i++) metrics.exchange('orders', `M${i}`, 200, 1)
    const found = await lines(metrics)
    expect(found.filter(line => line.startsWith('postern_decisions_total')).length).toBeLessThan(520)
    expect(found).toContain(`postern_decisions_total{tenant="_other",effect="allow",rule="r",mode="enforce"} ${2000 - 256}`)
    expect(found.filter(line => line.startsWith('http_server_request_duration_seconds_count')).length).toBeLessThan(60)
    expect(found).toContain(
      'http_server_request_duration_seconds_count{http_route="orders",http_request_method="GET",http_response_status_code="_other"} 860',
    )
  })

  it("have no state in common between two of them, and include Node's own where asked", async () => {
    const [a, b] = [create({}, true), create({}, true)]
    a.shed('x')
    expect((await lines(a)).some(line => line.startsWith('nodejs_eventloop_lag'))).toBe(true)
    expect((await lines(b)).some(line => line.startsWith('postern_limits_shed_total{'))).toBe(false)
    expect((await a.render()).contentType).toContain('text/plain')
  })
})
