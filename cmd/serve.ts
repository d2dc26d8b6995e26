import { parseArgs } from 'node:util'
import { startApp } from '../src/app.ts'
import { systemClock } from '../src/deps.ts'
import { createLog, logLevels } from '../src/record/log.ts'
import { standardStream } from '../src/record/outlet.ts'
import { printFindings } from './findings.ts'
import { exit, type Io } from './io.ts'
import { defaultState } from './state.ts'

export const help = `
postern serve [--config proxy.config.yaml] [--strict] [--log-level info]

Runs the proxy until SIGTERM or SIGINT, then finishes what is under way within limits.drain-deadline. SIGHUP reads all files again.
  --config FILE     the configuration (default proxy.config.yaml)
  --strict          a fault in one tenant's policy, or one that does not fit the configuration, ends the start; without it that tenant
                    answers 503 and the rest are served
  --log-level L     debug, info, warn or error (default info); JSON lines on standard error
Exit: 0 after a drain, 64 a fault in the configuration, a key file or the platform policy, 70 a fault of the machine.
`

export const run = async (args: string[], io: Io): Promise<number> => {
  const { values } = parseArgs({
    args,
    options: {
      config: { type: 'string', default: 'proxy.config.yaml' },
      strict: { type: 'boolean', default: false },
      'log-level': { type: 'string', default: 'info' },
    },
  })
  const level = logLevels.find(known => known === values['log-level'])
  if (level === undefined) {
    io.err(`postern serve: --log-level is ${logLevels.join(', ')}.\n`)
    return exit.usage
  }
  const log = createLog({ level, out: standardStream(2, process.stderr), clock: systemClock })
  const app = await startApp(
    {
      configFile: values.config,
      defaultState: defaultState(process.env),
      strict: values.strict,
      stdout: standardStream(1, process.stdout),
    },
    log,
  )
  if (!('stop' in app)) {
    printFindings(app, io)
    await log.close()
    return exit.usage
  }
  const onHangup = (): void => void app.reload({ by: 'SIGHUP', withoutTests: false, why: '' })
  process.on('SIGHUP', onHangup)
  const signal = await new Promise<string>(resolve => {
    process.once('SIGTERM', () => resolve('SIGTERM'))
    process.once('SIGINT', () => resolve('SIGINT'))
  })
  await app.stop(signal)
  process.off('SIGHUP', onHangup)
  await log.close()
  return exit.done
}
