// Telemetries: providers that are there, and no two for the same workload.
import type { TelemetrySpec } from '../../api/gen/istio-types.js';
import type { Analyzer } from '../analyzer.ts';
import { says } from '../messages.ts';
import type { AnalysisObject } from '../object.ts';
import { specOf } from '../object.ts';
import type { AnalyzedPod } from '../pods.ts';
import { podsOf } from '../pods.ts';
import { selectorText, selects } from '../selector.ts';

export const telemetryProviders: Analyzer = {
  name: 'telemetry.ProviderAnalyzer',
  description: 'Access logging of Telemetries has a provider',
  run: ({ objects, mesh, report }) => {
    if (mesh.hasDefaultAccessLogging) return;
    for (const object of objects.list('Telemetry')) {
      const index = (specOf<TelemetrySpec>(object).accessLogging ?? []).findIndex(
        ({ disabled, providers }) => disabled !== true && (providers ?? []).length === 0,
      );
      if (index >= 0)
        report(
          says.invalidTelemetryProvider(object.name, object.namespace),
          object,
          'spec',
          'accessLogging',
          index,
        );
    }
  },
};

export const telemetrySelectors: Analyzer = {
  name: 'telemetry.SelectorAnalyzer',
  description: 'Telemetries with a selector select a pod, and no two Telemetries the same',
  needs: ['Pod', 'Deployment', 'StatefulSet'],
  run: ({ objects, report }) => {
    const pods = podsOf(objects);
    const selected = new Map<AnalyzedPod, AnalysisObject[]>();
    for (const object of objects.list('Telemetry')) {
      const selector = specOf<TelemetrySpec>(object).selector?.matchLabels ?? {};
      const [first] = Object.keys(selector).sort();
      if (first === undefined) continue;
      const own = pods.filter(
        ({ namespace, labels }) => namespace === object.namespace && selects(selector, labels),
      );
      for (const pod of own) selected.set(pod, [...(selected.get(pod) ?? []), object]);
      if (own.length === 0)
        report(
          says.referencedResourceNotFound('selector', selectorText(selector)),
          object,
          'spec',
          'selector',
          'matchLabels',
          first,
        );
    }
    for (const [{ namespace, name }, rivals] of selected)
      for (const object of rivals.length > 1 ? rivals : [])
        report(
          says.conflictingTelemetryWorkloadSelectors(namesOf(rivals), namespace, name),
          object,
          'metadata',
          'name',
        );
  },
};

export const telemetryDefaults: Analyzer = {
  name: 'telemetry.DefaultSelectorAnalyzer',
  description: 'No two Telemetries without a selector in one namespace',
  run: ({ objects, report }) => {
    const all = objects
      .list('Telemetry')
      .filter((object) => specOf<TelemetrySpec>(object).selector === undefined);
    for (const object of all) {
      const rivals = all.filter(({ namespace }) => namespace === object.namespace);
      if (rivals.length > 1)
        report(
          says.multipleTelemetriesWithoutWorkloadSelectors(namesOf(rivals), object.namespace),
          object,
          'metadata',
          'name',
        );
    }
  },
};

export const lightstep: Analyzer = {
  name: 'telemetry.LightstepAnalyzer',
  description: 'No Telemetry uses a Lightstep provider',
  run: ({ objects, mesh, report }) => {
    for (const object of objects.list('Telemetry'))
      for (const [index, { providers }] of (specOf<TelemetrySpec>(object).tracing ?? []).entries())
        for (const { name = '' } of providers ?? [])
          if (mesh.lightstepProviders.has(name))
            report(
              says.deprecated(`the Lightstep provider ${name}; use an OpenTelemetry provider`),
              object,
              'spec',
              'tracing',
              index,
              'providers',
            );
  },
};

function namesOf(objects: readonly AnalysisObject[]): readonly string[] {
  return objects.map(({ name }) => name).sort();
}
