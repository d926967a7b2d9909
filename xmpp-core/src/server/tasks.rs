//! What runs beside the stanzas' way, and how it comes to an end.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::{BoxFuture, Shared, select};

/// The tasks of one server.
pub(super) struct Tasks {
    open: AtomicUsize,
    /// Those who wait until there is none.
    waiting: Mutex<Vec<oneshot::Sender<()>>>,
    /// Dropped when the server closes.
    end: Mutex<Option<oneshot::Sender<()>>>,
    ended: Shared<oneshot::Receiver<()>>,
}

impl Default for Tasks {
    fn default() -> Tasks {
        let (end, ended) = oneshot::channel();
        Tasks {
            open: AtomicUsize::new(0),
            waiting: Mutex::default(),
            end: Mutex::new(Some(end)),
            ended: ended.shared(),
        }
    }
}

impl Tasks {
    /// The task, counted until it ends or is dropped.
    pub(super) fn counted(
        self: &Arc<Tasks>,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> BoxFuture<'static, ()> {
        self.open.fetch_add(1, Ordering::AcqRel);
        let running = Running(self.clone());
        async move {
            task.await;
            drop(running);
        }
        .boxed()
    }

    /// Waits for `sleep`, or until the server closes.
    pub(super) async fn rest(&self, sleep: BoxFuture<'static, ()>) {
        select(self.ended.clone(), sleep).await;
    }

    /// Waits until the server closes.
    pub(super) async fn closing(&self) {
        let _ = self.ended.clone().await;
    }

    /// Ends every rest, those to come too, and waits until there is no task.
    pub(super) async fn close(&self) {
        drop(lock(&self.end).take());
        loop {
            let (gone, empty) = oneshot::channel();
            lock(&self.waiting).push(gone);
            // The last may have ended just before.
            if self.open.load(Ordering::Acquire) == 0 {
                return;
            }
            let _ = empty.await;
        }
    }
}

struct Running(Arc<Tasks>);

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            lock(&self.0.waiting).clear();
        }
    }
}

/// Nothing that runs under these locks can panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_ends_rests_and_waits_for_tasks() {
        let tasks = Arc::new(Tasks::default());
        let of = tasks.clone();
        let mut task =
            tasks.counted(async move { of.rest(futures::future::pending().boxed()).await });
        assert!((&mut task).now_or_never().is_none(), "it rests");
        let mut close = Box::pin(tasks.close());
        assert!((&mut close).now_or_never().is_none(), "a task runs");
        assert!((&mut task).now_or_never().is_some(), "its rest is over");
        assert!((&mut close).now_or_never().is_some());
        let late = tasks.rest(futures::future::pending().boxed());
        assert!(late.now_or_never().is_some(), "nobody rests any more");
    }

    #[test]
    fn a_task_that_is_dropped_is_not_waited_for() {
        let tasks = Arc::new(Tasks::default());
        drop(tasks.counted(futures::future::pending()));
        assert!(tasks.close().now_or_never().is_some());
    }
}
