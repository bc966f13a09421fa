"""Programs that use the libraries that scientific ones use."""

from __future__ import annotations

PROGRAMS = {
    "NumPy": """
import numpy
def run(data, params):
    values = numpy.arange(6).reshape(2, 3)
    numpy.save(data['folder'] + '/values.npy', values)
    mapped = numpy.lib.format.open_memmap(data['folder'] + '/map.npy', mode='w+', dtype='f8', shape=(3,))
    mapped[:] = 0.5
    global KEPT
    KEPT = mapped
    print(values, numpy.float64(0.1), numpy.linalg.norm(values.astype(float)))
    numpy.array([1.0]) / numpy.array([0.0])
    return {'array': values, 'scalar': numpy.float32(0.5), 'int': numpy.int64(7), 'bool': numpy.bool_(True),
        'list': [numpy.uint8(3)], 'text': numpy.str_('text'), 'none': numpy.array(5)}
""",
    "pandas": """
import json, pandas
def run(data, params):
    more = pandas.DataFrame({'x': [1.5, None], 'y': pandas.Categorical(['a', 'b'])})
    frame = pandas.DataFrame({
        'when': pandas.to_datetime(['2024-01-02', None, '2024-01-02T03:04:05']),
        'number': pandas.array([1, None, 3], dtype='Int64'),
        'text': ['a', 'b', 'c'],
    })
    frame.to_csv(data['folder'] + '/frame.csv')
    print(frame)
    frame.info()
    return {'records': frame.to_dict('records'), 'dict': frame.to_dict(), 'one': frame['number'].sum(),
        'json': json.loads(more.to_json()), 'described': more.describe().fillna(0).to_dict(),
        'types': more.dtypes.astype(str).to_dict()}
""",
    "joblib": """
import os
import joblib, numpy
from joblib import Parallel, delayed
def total(array):
    return float(array.sum()), isinstance(array, numpy.memmap)
def run(data, params):
    array = numpy.ones(1_000_000)
    memory = joblib.Memory(data['folder'] + '/cache', verbose=1)
    cached = memory.cache(len)
    values = [cached('four'), cached('four')]
    joblib.dump(array[:10], data['folder'] + '/dumped')
    processes = Parallel(n_jobs=2, max_nbytes='1M')(delayed(total)(array) for _ in range(3))
    threads = Parallel(n_jobs=2, backend='threading')(delayed(total)(array) for _ in range(3))
    forked = Parallel(n_jobs=2, backend='multiprocessing')(delayed(len)(text) for text in ('a', 'bc'))
    memory.clear(warn=False)
    return [values, processes, threads, forked]
""",
    "Qiskit": """
import numpy
from qiskit import QuantumCircuit
from qiskit.primitives import StatevectorSampler
from qiskit.quantum_info import Pauli, SparsePauliOp, Statevector
from qiskit.result import Result
def run(data, params):
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    state = Statevector(circuit)
    measured = circuit.measure_all(inplace=False)
    (sampled,) = StatevectorSampler(seed=42).run([measured], shots=100).result()
    result = Result.from_dict({'backend_name': 'none', 'backend_version': '1', 'job_id': 'job',
        'success': True,
        'results': [{'shots': 3, 'success': True, 'data': {'counts': {'0x0': 1, '0x3': 2}}}]})
    print(measured)
    return {
        'counts': sampled.data.meas.get_counts(),
        'result counts': result.get_counts(),
        'probabilities': state.probabilities_dict(),
        'array': state.probabilities(),
        'expectation': state.expectation_value(SparsePauliOp('ZZ')).real,
        'result': result.to_dict(),
        'pauli': [Pauli('XZ').to_label(), Pauli('X').to_matrix().real],
    }
""",
}
