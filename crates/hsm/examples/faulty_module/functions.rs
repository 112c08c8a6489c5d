//! The functions that callers reach instead of the real module's.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::atomic::Ordering;

use cryptoki_sys::*;

use crate::{C_GetFunctionList, around, front};

/// The real module's list with the functions of this file in the places of those that they stand in front of.
pub(super) fn in_front_of(real: CK_FUNCTION_LIST) -> CK_FUNCTION_LIST {
    let mut shown = real;
    shown.C_GetFunctionList = Some(C_GetFunctionList);
    macro_rules! show {
        ($($name:ident)*) => { $( shown.$name = Some($name); )* };
    }
    show! {
        C_Initialize C_Finalize C_GetInfo C_GetSlotList C_GetSlotInfo C_GetTokenInfo C_GetMechanismList C_GetMechanismInfo
        C_InitToken C_InitPIN C_OpenSession C_CloseSession C_CloseAllSessions C_GetSessionInfo C_Login C_Logout C_CreateObject
        C_DestroyObject C_GetAttributeValue C_FindObjectsInit C_FindObjects C_FindObjectsFinal C_SignInit C_Sign C_SignUpdate
        C_SignFinal C_VerifyInit C_Verify C_GenerateKey C_GenerateKeyPair C_DeriveKey C_GenerateRandom C_EncryptInit
    }
    shown
}

fn real_slot(slot: CK_SLOT_ID) -> CK_SLOT_ID {
    slot.wrapping_sub(front().control.slot_offset())
}

/// NSS's form of `CK_C_INITIALIZE_ARGS`: one field more.
#[repr(C)]
struct InitializeArgsWithParameters {
    mutex_functions: [*mut c_void; 4],
    flags: CK_FLAGS,
    parameters: *const c_char,
    reserved: *mut c_void,
}

unsafe extern "C" fn C_Initialize(args: *mut c_void) -> CK_RV {
    around("C_Initialize", |_| {
        let Some(initialize) = front().real.C_Initialize else { return CKR_FUNCTION_NOT_SUPPORTED };
        let Some(parameters) = &front().parameters else {
            // SAFETY: the caller's own argument, handed on.
            return unsafe { initialize(args) };
        };
        let mut extended = InitializeArgsWithParameters {
            mutex_functions: [ptr::null_mut(); 4],
            flags: CKF_OS_LOCKING_OK,
            parameters: parameters.as_ptr(),
            reserved: ptr::null_mut(),
        };
        // SAFETY: who sets the parameters says that the module reads this form; it and the text outlive the call.
        unsafe { initialize(ptr::from_mut(&mut extended).cast()) }
    })
}

unsafe extern "C" fn C_Finalize(reserved: *mut c_void) -> CK_RV {
    around("C_Finalize", |_| {
        let Some(finalize) = front().real.C_Finalize else { return CKR_FUNCTION_NOT_SUPPORTED };
        front().sticky.store(CKR_OK, Ordering::SeqCst);
        front().finalized.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller's own argument, handed on.
        unsafe { finalize(reserved) }
    })
}

unsafe extern "C" fn C_GetSlotList(present: CK_BBOOL, slots: *mut CK_SLOT_ID, count: *mut CK_ULONG) -> CK_RV {
    around("C_GetSlotList", |strikes| {
        let Some(list) = front().real.C_GetSlotList else { return CKR_FUNCTION_NOT_SUPPORTED };
        // SAFETY: the caller's own arguments, handed on; after CKR_OK `count` was written, and so many of `slots` unless it is null.
        unsafe {
            let code = list(present, slots, count);
            if code == CKR_OK && strikes.short {
                *count = 0;
            }
            if code == CKR_OK && !slots.is_null() {
                for slot in std::slice::from_raw_parts_mut(slots, length_of(*count)) {
                    *slot = slot.wrapping_add(front().control.slot_offset());
                }
            }
            code
        }
    })
}

unsafe extern "C" fn C_GetSessionInfo(session: CK_SESSION_HANDLE, info: *mut CK_SESSION_INFO) -> CK_RV {
    around("C_GetSessionInfo", |_| {
        let Some(session_info) = front().real.C_GetSessionInfo else { return CKR_FUNCTION_NOT_SUPPORTED };
        // SAFETY: the caller's own arguments, handed on; after CKR_OK `info` was written.
        unsafe {
            let code = session_info(session, info);
            if code == CKR_OK {
                (*info).slotID = (*info).slotID.wrapping_add(front().control.slot_offset());
            }
            code
        }
    })
}

unsafe extern "C" fn C_FindObjects(
    session: CK_SESSION_HANDLE,
    objects: *mut CK_OBJECT_HANDLE,
    room: CK_ULONG,
    count: *mut CK_ULONG,
) -> CK_RV {
    around("C_FindObjects", |strikes| {
        let Some(find) = front().real.C_FindObjects else { return CKR_FUNCTION_NOT_SUPPORTED };
        // SAFETY: the caller's own arguments, handed on; after CKR_OK `count` was written.
        unsafe {
            let code = find(session, objects, room, count);
            if code == CKR_OK && strikes.short {
                *count = 0;
            }
            code
        }
    })
}

unsafe extern "C" fn C_Sign(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    data_length: CK_ULONG,
    signature: *mut CK_BYTE,
    length: *mut CK_ULONG,
) -> CK_RV {
    around("C_Sign", |strikes| {
        let Some(sign) = front().real.C_Sign else { return CKR_FUNCTION_NOT_SUPPORTED };
        // SAFETY: the caller's own arguments, handed on; after CKR_OK `length` was written, and so many bytes unless only the
        // length was asked for with a null `signature`.
        unsafe {
            let code = sign(session, data, data_length, signature, length);
            if code == CKR_OK && !signature.is_null() {
                if strikes.wrong && *length > 0 {
                    *signature ^= 1;
                }
                if strikes.short {
                    *length /= 2;
                }
            }
            code
        }
    })
}

unsafe extern "C" fn C_Verify(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    data_length: CK_ULONG,
    signature: *mut CK_BYTE,
    length: CK_ULONG,
) -> CK_RV {
    around("C_Verify", |strikes| {
        let Some(verify) = front().real.C_Verify else { return CKR_FUNCTION_NOT_SUPPORTED };
        // SAFETY: the caller's own arguments, handed on.
        match unsafe { verify(session, data, data_length, signature, length) } {
            CKR_OK if strikes.wrong => CKR_SIGNATURE_INVALID,
            CKR_SIGNATURE_INVALID if strikes.wrong => CKR_OK,
            code => code,
        }
    })
}

unsafe extern "C" fn C_GenerateRandom(session: CK_SESSION_HANDLE, bytes: *mut CK_BYTE, length: CK_ULONG) -> CK_RV {
    around("C_GenerateRandom", |strikes| {
        let Some(generate) = front().real.C_GenerateRandom else { return CKR_FUNCTION_NOT_SUPPORTED };
        // SAFETY: the caller's own arguments, handed on; after CKR_OK so many bytes were written, so they may be written again.
        unsafe {
            let code = generate(session, bytes, length);
            if code == CKR_OK && strikes.wrong {
                ptr::write_bytes(bytes, 0, length_of(length));
            }
            code
        }
    })
}

/// Functions that only pass: their names and arguments; `slot` marks those whose first argument is a slot id.
macro_rules! passing {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => { $(
        unsafe extern "C" fn $name($($argument: $type),*) -> CK_RV {
            around(stringify!($name), |_| {
                let Some(function) = front().real.$name else { return CKR_FUNCTION_NOT_SUPPORTED };
                // SAFETY: the caller's own arguments, handed on.
                unsafe { function($($argument),*) }
            })
        }
    )* };
}

macro_rules! passing_with_slot {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => { $(
        unsafe extern "C" fn $name(slot: CK_SLOT_ID $(, $argument: $type)*) -> CK_RV {
            around(stringify!($name), |_| {
                let Some(function) = front().real.$name else { return CKR_FUNCTION_NOT_SUPPORTED };
                // SAFETY: the caller's own arguments, handed on; the slot id is a number.
                unsafe { function(real_slot(slot) $(, $argument)*) }
            })
        }
    )* };
}

passing_with_slot! {
    C_GetSlotInfo(info: *mut CK_SLOT_INFO);
    C_GetTokenInfo(info: *mut CK_TOKEN_INFO);
    C_GetMechanismList(mechanisms: *mut CK_MECHANISM_TYPE, count: *mut CK_ULONG);
    C_GetMechanismInfo(mechanism: CK_MECHANISM_TYPE, info: *mut CK_MECHANISM_INFO);
    C_InitToken(pin: *mut CK_UTF8CHAR, pin_length: CK_ULONG, label: *mut CK_UTF8CHAR);
    C_OpenSession(flags: CK_FLAGS, application: *mut c_void, notify: CK_NOTIFY, session: *mut CK_SESSION_HANDLE);
    C_CloseAllSessions();
}

passing! {
    C_GetInfo(info: *mut CK_INFO);
    C_InitPIN(session: CK_SESSION_HANDLE, pin: *mut CK_UTF8CHAR, length: CK_ULONG);
    C_CloseSession(session: CK_SESSION_HANDLE);
    C_Login(session: CK_SESSION_HANDLE, user: CK_USER_TYPE, pin: *mut CK_UTF8CHAR, length: CK_ULONG);
    C_Logout(session: CK_SESSION_HANDLE);
    C_CreateObject(session: CK_SESSION_HANDLE, template: *mut CK_ATTRIBUTE, count: CK_ULONG, object: *mut CK_OBJECT_HANDLE);
    C_DestroyObject(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE);
    C_GetAttributeValue(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, template: *mut CK_ATTRIBUTE, count: CK_ULONG);
    C_FindObjectsInit(session: CK_SESSION_HANDLE, template: *mut CK_ATTRIBUTE, count: CK_ULONG);
    C_FindObjectsFinal(session: CK_SESSION_HANDLE);
    C_SignInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE);
    C_SignUpdate(session: CK_SESSION_HANDLE, part: *mut CK_BYTE, length: CK_ULONG);
    C_SignFinal(session: CK_SESSION_HANDLE, signature: *mut CK_BYTE, length: *mut CK_ULONG);
    C_VerifyInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE);
    C_EncryptInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE);
    C_GenerateKey(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, template: *mut CK_ATTRIBUTE, count: CK_ULONG,
        key: *mut CK_OBJECT_HANDLE);
    C_GenerateKeyPair(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, public: *mut CK_ATTRIBUTE,
        public_count: CK_ULONG, private: *mut CK_ATTRIBUTE, private_count: CK_ULONG, public_key: *mut CK_OBJECT_HANDLE,
        private_key: *mut CK_OBJECT_HANDLE);
    C_DeriveKey(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, base: CK_OBJECT_HANDLE,
        template: *mut CK_ATTRIBUTE, count: CK_ULONG, key: *mut CK_OBJECT_HANDLE);
}

/// A length that a module said; what does not fit into memory is nothing that can be read.
fn length_of(length: CK_ULONG) -> usize {
    usize::try_from(length).unwrap_or(0)
}
