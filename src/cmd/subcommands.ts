// Every subcommand: one line here, one file beside this one.
import type { Command } from 'commander';

export interface Subcommand {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly summary: string;
  /** Loads the file; its `command()` makes the command with options and action. */
  readonly load: () => Promise<{ command(): Command }>;
  /** Left out of the help: only we start it. */
  readonly hidden?: true;
}

export const subcommands: readonly Subcommand[] = [
  {
    name: 'up',
    aliases: [],
    summary: 'Run a whole mesh on this machine from a folder of YAML',
    load: () => import('./up.ts'),
  },
  {
    name: 'reap',
    aliases: [],
    summary: 'End what a killed `fairlead up` left behind',
    load: () => import('./reap.ts'),
    hidden: true,
  },
  {
    name: 'validate',
    aliases: ['v'],
    summary: 'Validate Istio and Kubernetes YAML',
    load: () => import('./validate.ts'),
  },
  {
    name: 'analyze',
    aliases: [],
    summary: 'Say what is wrong with a mesh, seen as a whole',
    load: () => import('./analyze.ts'),
  },
  {
    name: 'version',
    aliases: [],
    summary: 'Print the versions of client, control plane and data plane',
    load: () => import('./version.ts'),
  },
  {
    name: 'pilot',
    aliases: ['discovery'],
    summary: 'Run the control plane',
    load: () => import('./pilot.ts'),
  },
  {
    name: 'proxy',
    aliases: [],
    summary: 'Run the data plane from an Envoy bootstrap',
    load: () => import('./proxy.ts'),
  },
  {
    name: 'proxy-status',
    aliases: ['ps'],
    summary: 'Show which proxy has acknowledged what',
    load: () => import('./proxy-status.ts'),
  },
  {
    name: 'proxy-config',
    aliases: ['pc'],
    summary: 'Show what a proxy was told',
    load: () => import('./proxy-config.ts'),
  },
  {
    name: 'apply',
    aliases: [],
    summary: 'Write objects where the control plane reads them, and wait until proxies have them',
    load: () => import('./apply.ts'),
  },
  {
    name: 'delete',
    aliases: [],
    summary: 'Take objects away there, and wait until proxies know',
    load: () => import('./delete.ts'),
  },
  {
    name: 'wait',
    aliases: [],
    summary: 'Wait until the affected proxies have acknowledged a change',
    load: () => import('./wait.ts'),
  },
  {
    name: 'explain',
    aliases: [],
    summary: 'Follow one request through the generated configuration, and say why it goes where it goes',
    load: () => import('./explain.ts'),
  },
  {
    name: 'x',
    aliases: ['experimental'],
    summary: 'Small tools: a test server, a command run in a pod, synthetic meshes, many played proxies',
    load: () => import('./x.ts'),
  },
];
