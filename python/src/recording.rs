//! Recordings for Python.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use record_bpf::Class;

use crate::error::Failure;
use crate::inputs;
use crate::table::Table;

#[pyclass(frozen, module = "retroscope")]
pub struct Recording {
    pub inner: Arc<datasets::Recording>,
}

impl Recording {
    /// The name of its directory.
    pub fn name(&self) -> String {
        replay::run::base_name(self.inner.dir())
    }

    /// Where it can be opened again, from any working directory.
    pub fn address(&self) -> String {
        datasets::store::absolute(self.inner.dir()).to_string_lossy().into_owned()
    }
}

/// Opens a recording by its path, or by name if it ships.
#[pyfunction]
pub fn open_recording(py: Python<'_>, path: PathBuf) -> PyResult<Recording> {
    inputs::open(py, &path.to_string_lossy())
}

/// Names of the recordings that can be opened by name.
#[pyfunction]
pub fn shipped() -> Vec<String> {
    datasets::shipped_names()
}

/// A Python object of JSON text.
pub fn loads<'py>(py: Python<'py>, json: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("json")?.getattr("loads")?.call1((json,))
}

fn class(name: &str) -> Result<Class, Failure> {
    Class::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = Class::ALL.iter().map(|class| class.name()).chain(datasets::DIMENSIONS).collect();
        Failure::config(format!("no table is called {name:?}"), format!("the tables are {}", known.join(", ")))
    })
}

#[pymethods]
impl Recording {
    #[getter]
    fn path(&self) -> PathBuf {
        self.inner.dir().to_owned()
    }

    #[getter(address)]
    fn py_address(&self) -> String {
        self.address()
    }

    #[getter(name)]
    fn py_name(&self) -> String {
        self.name()
    }

    #[getter]
    fn classes(&self) -> Vec<String> {
        self.inner.manifest().classes.clone()
    }

    #[getter]
    fn rows(&self) -> std::collections::BTreeMap<String, u64> {
        let rows = |class: &String| {
            let segments = self.inner.manifest().segments.iter().filter(|segment| segment.class == *class);
            (class.clone(), segments.map(|segment| segment.rows).sum())
        };
        self.inner.manifest().classes.iter().map(rows).collect()
    }

    #[getter]
    fn state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        loads(py, &to_json(&self.inner.manifest().state)?)
    }

    #[getter]
    fn started(&self) -> i64 {
        self.inner.manifest().started.ns
    }

    #[getter]
    fn ended(&self) -> Option<i64> {
        self.inner.manifest().ended.as_ref().map(|ended| ended.ns)
    }

    #[getter]
    fn scenario<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        loads(py, &to_json(&self.inner.manifest().scenario)?)
    }

    #[getter]
    fn manifest<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        loads(py, &to_json(self.inner.manifest())?)
    }

    /// An event class, streamed from disk, or one of the small tables beside them.
    #[pyo3(signature = (name, columns = None))]
    fn table(&self, py: Python<'_>, name: &str, columns: Option<Vec<String>>) -> PyResult<Table> {
        if datasets::DIMENSIONS.contains(&name) {
            let columns: Option<Vec<&str>> = columns.as_ref().map(|all| all.iter().map(String::as_str).collect());
            let read = py.detach(|| self.inner.dimension(name, columns.as_deref()));
            let (schema, batches) = read.map_err(Failure::from)?;
            return Ok(Table::of(name, schema, batches));
        }
        Ok(Table::of_class(&self.inner, class(name)?, columns)?)
    }

    /// What all events have in common, in the order in which they happened.
    #[pyo3(signature = (classes = None))]
    fn events(&self, classes: Option<Vec<String>>) -> PyResult<Table> {
        let classes = match classes {
            None => Class::ALL.to_vec(),
            Some(names) => names.iter().map(|name| class(name)).collect::<Result<_, _>>()?,
        };
        Ok(Table::in_order(&self.inner, classes))
    }

    fn __repr__(&self) -> String {
        let manifest = self.inner.manifest();
        format!("<retroscope.Recording {}: {} events>", self.name(), manifest.rows())
    }

    /// Opened anew where it arrives: it must be there too.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (String,))> {
        let open = py.import("retroscope")?.getattr("open_recording")?;
        Ok((open, (self.address(),)))
    }
}

fn to_json(value: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(|error| pyo3::exceptions::PyValueError::new_err(error.to_string()))
}
