import { relative } from 'node:path'
import { parseArgs } from 'node:util'
import { DemoFault } from './fault.ts'
import { credentialsLine, folder, ports, root, type Stage, setUp } from './stage.ts'
import { runTour } from './tour.ts'

const help = `
npm start [-- --tour]

Runs Postern on this machine with everything around it: an OpenID provider, a backend, two tenants, and a Cassandra where JDK 17 and Maven
(or CASSANDRA_CONTACT_POINTS on loopback) are there. Prints requests to try. Ends with Ctrl-C.
  --tour   tries them itself, tells what happened, and exits: 0 if everything was as announced, 1 if not
`

const say = (line: string): void => void process.stdout.write(`${line}\n`)

const optionsOf = (argv: readonly string[]) => {
  try {
    return parseArgs({ args: [...argv], options: { tour: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } }).values
  } catch {
    process.stderr.write(`npm start: ${argv.join(' ')} is not understood.\n${help}`)
    return null
  }
}

/** npm does not pass a SIGTERM on: when it is gone, the demo would stay behind with everything that it started. */
const whenParentGone = (done: () => void): void => {
  const parent = process.ppid
  setInterval(() => {
    if (process.ppid !== parent) done()
  }, 1000).unref()
}

/** The demo. Gives the exit code. */
export const demo = async (argv: readonly string[]): Promise<number> => {
  const values = optionsOf(argv)
  if (values === null) return 64
  if (values.help) {
    say(help.trim())
    return 0
  }
  const ended = new Promise<number>(resolve => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve(values.tour ? 130 : 0))
    whenParentGone(() => resolve(130))
  })
  let stage: Stage | null = null
  try {
    stage = await setUp(process.env, values.tour ? { every: '5s', overlap: '2s' } : { every: '60s', overlap: '20s' }, say)
    if (values.tour) return await Promise.race([runTour(stage, say), ended])
    say(introduction(stage))
    return await Promise.race([ended, posternEnded(stage)])
  } catch (fault) {
    if (!(fault instanceof DemoFault)) throw fault
    process.stderr.write(`${fault.message}\n`)
    return 64
  } finally {
    await stage?.stop()
  }
}

const posternEnded = (stage: Stage): Promise<number> =>
  new Promise(resolve => {
    stage.postern.once('exit', code => {
      process.stderr.write(`Postern ended (${code}). Its log: ${relative(root, folder)}/postern.log\n`)
      resolve(70)
    })
  })

const introduction = (stage: Stage): string => {
  const here = relative(root, folder)
  const curl = (line: string): string => `  curl -s -H @${here}/${line}`
  const url = `http://127.0.0.1:${ports.proxy}/v1/invoices`
  return `
Postern      http://127.0.0.1:${ports.proxy}   between a gateway (you, with curl) and a backend
${credentialsLine(stage)}
Metrics      http://127.0.0.1:${ports.ops}/metrics     ready: http://127.0.0.1:${ports.ops}/readyz
Log          ${here}/postern.log
Policies     policies/*.policy.yaml: edit one while this runs, it is in force a moment later

Try, in another terminal, from this folder:

  # Anna of acme reads her tenant's invoices
${curl(`gateway-acme -H @${here}/anna ${url}`)}
  # ... but may not write any: 403, and why stands only in the audit
${curl(`gateway-acme -H @${here}/anna -X POST -d '{"customer":"ACME","cents":100}' ${url}`)}
  # Lea leads the department: she may
${curl(`gateway-acme -H @${here}/lea -X POST -d '{"customer":"ACME","cents":100}' ${url}`)}
  # Gus has a good token, of another tenant: 403
${curl(`gateway-acme -H @${here}/gus ${url}`)}
  # A client that says who it is: the header never arrives, Anna stays Anna of acme
${curl(`gateway-acme -H @${here}/anna -H 'x-postern-tenant: globex' ${url}`)}
  # Past the gateway: 403
  curl -s -H @${here}/anna ${url}
  # What was recorded, and the proof that nobody changed it
  tail -n 3 ${here}/audit/*/*.jsonl
  npm run -s postern -- audit verify --dir ${here}/audit --second ${here}/audit-second --key ${here}/audit.pub.pem

  # ... why a request was refused (an id stands in each answer and record), and what tests its traffic would give
  npm run -s postern -- explain --record ID --audit ${here}/audit
  npm run -s postern -- learn ${here}/audit --tenant acme

npm start -- --tour does all this by itself. Ctrl-C ends everything.
`
}
