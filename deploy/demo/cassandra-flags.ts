import { join } from 'node:path'

/** Everything one node needs to be told, in the three places where Cassandra reads it. */
export interface NodePlan {
  /** Absolute; data, logs and configuration of this node. */
  readonly dir: string
  readonly port: number
  readonly storagePort: number
  /** Default: CassandraNetworkAuthorizer, which alone lets LOGIN = false reach open connections. */
  readonly networkAuthorizer?: 'CassandraNetworkAuthorizer' | 'AllowAllNetworkAuthorizer' | undefined
  /** One of several nodes; absent: a cluster of its own on 127.0.0.1. */
  readonly member?: Member | undefined
}

export interface Member {
  /** Of the loopback network: all nodes of a cluster have the same ports. */
  readonly address: string
  readonly dataCenter: string
  readonly token: number
  /** Address of the node that was started first. */
  readonly seed: string
}

const alone: Member = { address: '127.0.0.1', dataCenter: 'datacenter1', token: 0, seed: '127.0.0.1' }

const exports = [
  'java.base/jdk.internal.misc',
  'java.management.rmi/com.sun.jmx.remote.internal.rmi',
  'java.management/com.sun.jmx.remote.security',
  'java.rmi/sun.rmi.registry',
  'java.rmi/sun.rmi.server',
  'java.sql/java.sql',
  'java.base/java.lang.ref',
  'jdk.unsupported/sun.misc',
]

const opens = [
  ...['lang', 'lang.module', 'lang.reflect', 'io', 'nio', 'util'].map(name => `java.base/java.${name}`),
  'java.base/sun.nio.ch',
  ...['loader', 'ref', 'reflect', 'math', 'module', 'util.jar'].map(name => `java.base/jdk.internal.${name}`),
  'jdk.management/com.sun.management.internal',
]

const small = '-XX:MaxDirectMemorySize=128m -Xss512k -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData -XX:+ExitOnOutOfMemoryError'

const runtime =
  '-Djdk.attach.allowAttachSelf=true -Dio.netty.tryReflectionSetAccessible=true -Dio.netty.allocator.useCacheForAllThreads=true -Dio.netty.allocator.maxOrder=11 -Djava.net.preferIPv4Stack=true -Dchronicle.analytics.disable=true'

/** One fresh node on loopback has nobody to wait for: no gossip settling, no probe of row overhead, no fsync, cheap bcrypt for its own superuser. */
const fast = [
  'memtable.row_overhead_size=180',
  'superuser_setup_delay_ms=0',
  'skip_wait_for_gossip_to_settle=0',
  'ring_delay_ms=1000',
  'shutdown_announce_in_ms=0',
  'skip_sync=true',
  'auth_bcrypt_gensalt_log2_rounds=4',
  'available_processors=2',
].map(flag => `-Dcassandra.${flag}`)

export const javaArguments = (plan: NodePlan, jars: readonly string[]): readonly string[] => [
  // Several share a machine, and no test gives one much to do.
  ...(plan.member === undefined ? ['-Xms256m', '-Xmx256m'] : ['-Xms192m', '-Xmx192m']),
  ...small.split(' '),
  ...exports.map(name => `--add-exports=${name}=ALL-UNNAMED`),
  ...opens.map(name => `--add-opens=${name}=ALL-UNNAMED`),
  ...runtime.split(' '),
  ...fast,
  `-javaagent:${jars.find(jar => /jamm-[\d.]+\.jar$/.test(jar)) ?? 'jamm.jar'}`,
  `-Dcassandra.config=file://${join(plan.dir, 'cassandra.yaml')}`,
  `-Dcassandra-rackdc.properties=file://${join(plan.dir, 'rackdc.properties')}`,
  `-Dcassandra.storagedir=${join(plan.dir, 'run')}`,
  `-Dcassandra.triggers_dir=${join(plan.dir, 'run', 'triggers')}`,
  '-Dcassandra-foreground=yes',
  `-Dlogback.configurationFile=file://${join(plan.dir, 'logback.xml')}`,
  `-Djava.io.tmpdir=${join(plan.dir, 'tmp')}`,
  `-Dcassandra.storage_port=${plan.storagePort}`,
  `-Dcassandra.native_transport_port=${plan.port}`,
  '-cp',
  jars.join(':'),
  'org.apache.cassandra.service.CassandraDaemon',
]

/**
 * Roles, grants and guardrails as an operator would set them; everything else as small as it starts. Batch, not periodic: a node that is killed
 * keeps what it has acknowledged, of which it may be the only replica.
 */
export const cassandraYaml = ({ storagePort, networkAuthorizer, member = alone }: NodePlan): string => `cluster_name: postern-demo
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: GossipingPropertyFileSnitch
commitlog_sync: batch
listen_address: ${member.address}
rpc_address: ${member.address}
start_native_transport: true
num_tokens: 1
initial_token: ${member.token}
auto_bootstrap: false
seed_provider: [{class_name: org.apache.cassandra.locator.SimpleSeedProvider, parameters: [{seeds: "${member.seed}:${storagePort}"}]}]
authenticator: PasswordAuthenticator
authorizer: CassandraAuthorizer
role_manager: CassandraRoleManager
network_authorizer: ${networkAuthorizer ?? 'CassandraNetworkAuthorizer'}
credentials_validity: 2s
roles_validity: 2s
permissions_validity: 2s
memtable_heap_space: 32MiB
memtable_offheap_space: 32MiB
file_cache_size: 32MiB
commitlog_segment_size: 8MiB
commitlog_total_space: 64MiB
key_cache_size: 0MiB
row_cache_size: 0MiB
counter_cache_size: 0MiB
concurrent_reads: 4
concurrent_writes: 8
concurrent_counter_writes: 4
concurrent_compactors: 1
hinted_handoff_enabled: true
auto_snapshot: false
disk_access_mode: standard
allow_filtering_enabled: false
page_size_fail_threshold: 1000
partition_keys_in_select_fail_threshold: 20
`

export const rackProperties = ({ member = alone }: NodePlan): string => `dc=${member.dataCenter}\nrack=rack1\n`

export const logbackXml = `<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%-5level %msg%n</pattern></encoder></appender>
  <root level="INFO"><appender-ref ref="out"/></root>
</configuration>
`
