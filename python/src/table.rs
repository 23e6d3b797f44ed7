//! Tables that are read through the Arrow PyCapsule interface, as often as one likes.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::datatypes::SchemaRef;
use arrow::ffi::FFI_ArrowSchema;
use arrow::ffi_stream::FFI_ArrowArrayStream;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyTuple};
use record_bpf::Class;

use crate::error::Failure;
use crate::readers::{self, Reader};

/// Where the rows come from each time the table is read.
enum Source {
    /// Memory; readers share it.
    Batches(Vec<RecordBatch>),
    /// The segments of a class, streamed from disk.
    Class { recording: Arc<datasets::Recording>, class: Class, columns: Option<Vec<String>> },
    /// The segments of several classes, merged.
    InOrder { recording: Arc<datasets::Recording>, classes: Vec<Class> },
}

#[pyclass(frozen, module = "retroscope")]
pub struct Table {
    name: String,
    source: Source,
    schema: SchemaRef,
    rows: u64,
}

impl Table {
    /// Of batches in memory, which all have this schema.
    pub fn of(name: &str, schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        Self { name: name.to_owned(), source: Source::Batches(batches), schema, rows }
    }

    /// # Errors
    /// A column that the class does not have.
    pub fn of_class(
        recording: &Arc<datasets::Recording>,
        class: Class,
        columns: Option<Vec<String>>,
    ) -> Result<Self, Failure> {
        readers::rows(recording, class, columns.as_deref())?;
        let rows = recording.manifest().class_segments(class).map(|segment| segment.rows).sum();
        let schema = readers::class_schema(class, columns.as_deref());
        let source = Source::Class { recording: Arc::clone(recording), class, columns };
        Ok(Self { name: class.name().to_owned(), source, schema, rows })
    }

    pub fn in_order(recording: &Arc<datasets::Recording>, classes: Vec<Class>) -> Self {
        let segments = classes.iter().flat_map(|class| recording.manifest().class_segments(*class));
        let rows = segments.map(|segment| segment.rows).sum();
        let schema = readers::event_schema();
        let source = Source::InOrder { recording: Arc::clone(recording), classes };
        Self { name: "events".to_owned(), source, schema, rows }
    }

    fn reader(&self) -> Result<Box<dyn RecordBatchReader + Send>, Failure> {
        Ok(Box::new(match &self.source {
            Source::Batches(batches) => Reader::new(Arc::clone(&self.schema), batches.clone().into_iter().map(Ok)),
            Source::Class { recording, class, columns } => readers::rows(recording, *class, columns.as_deref())?,
            Source::InOrder { recording, classes } => readers::in_order(recording, classes),
        }))
    }
}

#[pymethods]
impl Table {
    /// A new stream over all rows. It is in the table's own schema, whatever is asked for: the protocol lets a producer do so.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(self.reader()?), c"arrow_array_stream")
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema =
            FFI_ArrowSchema::try_from(&*self.schema).map_err(|error| PyValueError::new_err(error.to_string()))?;
        PyCapsule::new_with_value(py, schema, c"arrow_schema")
    }

    fn __len__(&self) -> usize {
        usize::try_from(self.rows).unwrap_or(usize::MAX)
    }

    fn __repr__(&self) -> String {
        format!("<retroscope.Table {}: {} rows, {} columns>", self.name, self.rows, self.schema.fields().len())
    }

    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    #[getter]
    fn columns(&self) -> Vec<&str> {
        self.schema.fields().iter().map(|field| field.name().as_str()).collect()
    }

    fn to_polars<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("polars")?.getattr("DataFrame")?.call1(PyTuple::new(slf.py(), [slf])?)
    }

    fn to_arrow<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("pyarrow")?.getattr("table")?.call1(PyTuple::new(slf.py(), [slf])?)
    }
}
